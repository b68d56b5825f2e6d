# The first process of a node, in namespaces of its own. With it the whole node dies.
# Variables: NODE, DIRECTORY (of the node), LOG (of containerd).
set -e
hostname "$NODE"
mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/cni /var/log/containers
mount --bind "$DIRECTORY/cni-state" /var/lib/cni
mount --bind "$DIRECTORY/log" /var/log/containers
# The kubelet would write these for the whole machine.
for file in kernel/panic kernel/panic_on_oops vm/overcommit_memory; do
  mount --bind "$DIRECTORY/sysctl/${file#*/}" "/proc/sys/$file"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
containerd -c "$DIRECTORY/containerd.toml" >>"$LOG" 2>&1 &
while :; do
  wait -n || sleep 0.2
done
