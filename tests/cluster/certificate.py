"""Keys and certificates of a control plane, in files."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=30)
_SKEW = timedelta(minutes=5)


class Authority:
    """A certificate authority; its files are `ca.crt` and `ca.key` in the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name = _subject("rljob test")
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        _write(directory, "ca", self._key, certificate)

    def issue(self, file: str, user: str, *groups: str, addresses: tuple[str, ...] = ()) -> None:
        """Writes `<file>.crt` and `<file>.key`, for a client and for a server at `addresses`.

        Args:
            file: without its suffix.
            user: name of the client.
            groups: of the client.
            addresses: IP addresses and DNS names.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = _builder(_subject(user, *groups), self._name, key).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        if addresses:
            names = [_alternative(address) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write(self._directory, file, key, builder.sign(self._key, hashes.SHA256()))


def write_key_pair(directory: Path, file: str) -> None:
    """Writes `<file>.key` and `<file>.pub`, which sign and check tokens of service accounts."""
    key = ec.generate_private_key(ec.SECP256R1())
    (directory / f"{file}.key").write_bytes(_private(key))
    (directory / f"{file}.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _subject(user: str, *groups: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
    )


def _write(
    directory: Path, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    (directory / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / f"{file}.key").write_bytes(_private(key))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
