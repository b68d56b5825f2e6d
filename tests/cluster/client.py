"""A plain client of the Kubernetes API for tests: dictionaries in, dictionaries out."""

import json
import ssl
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from tests.cluster import kubeconfig

_MANAGER = "test"
_SECONDS = 30

Manifest = dict[str, Any]


class ApiError(Exception):
    """What the API server refused; `reason` is its word for it, as "Conflict"."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            status = response.json()
        except ValueError:
            status = {"message": response.text}
        self.code = response.status_code
        self.reason: str = status.get("reason", "")
        self.message: str = status.get("message", "")
        super().__init__(f"{self.code} {self.reason}: {self.message}")


@contextmanager
def gone_is_done() -> Iterator[None]:
    """For teardowns: it is no error within this that an object has gone already."""
    try:
        yield
    except ApiError as error:
        if error.code != httpx.codes.NOT_FOUND:
            raise


class Client:
    """Speaks as the user of a kubeconfig.

    A resource is named as in its path: "v1/pods", "apps/v1/statefulsets". Names are looked for in
    the client's namespace; one with `namespace=""` reaches what has none: nodes, custom resource
    definitions, and, in lists, all namespaces. Every method raises ApiError where the server
    refuses.
    """

    def __init__(self, config: Path, namespace: str = "default") -> None:
        self.config = config
        self.namespace = namespace
        access = kubeconfig.read(config)
        context = ssl.create_default_context(cafile=access.authority)
        if access.certificate is not None:
            context.load_cert_chain(*access.certificate)
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._http = httpx.Client(
            base_url=access.server,
            verify=context,
            headers=headers,
            timeout=_SECONDS,
            trust_env=False,  # nothing of a test goes through a proxy
        )
        weakref.finalize(self, self._http.close)  # tests make many clients
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def within(self, namespace: str) -> "Client":
        """The same user in another namespace, or in none."""
        return Client(self.config, namespace)

    def get(self, resource: str, name: str) -> Manifest:
        return self.request("GET", self.path(resource, name))

    def find(self, resource: str, name: str) -> Manifest | None:
        """As `get`; None where it does not exist."""
        try:
            return self.get(resource, name)
        except ApiError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return None
            raise

    def create(self, manifest: Manifest) -> Manifest:
        return self.request("POST", self._path_of(manifest), manifest)

    def apply(self, manifest: Manifest, manager: str = _MANAGER) -> Manifest:
        """By server-side apply; takes fields over from other managers."""
        return self.request(
            "PATCH",
            f"{self._path_of(manifest)}/{manifest['metadata']['name']}",
            manifest,
            "application/apply-patch+yaml",
            fieldManager=manager,
            force="true",
        )

    def patch(
        self,
        resource: str,
        name: str,
        change: Manifest,
        *,
        subresource: str = "",
        strategic: bool = False,
    ) -> Manifest:
        """By JSON merge patch, or by strategic merge patch."""
        kind = "strategic-merge-patch" if strategic else "merge-patch"
        return self.request(
            "PATCH",
            self.path(resource, name, subresource),
            change,
            f"application/{kind}+json",
            fieldManager=_MANAGER,
        )

    def delete(self, resource: str, name: str, **options: Any) -> Manifest:
        """With fields of the API's DeleteOptions."""
        return self.request("DELETE", self.path(resource, name), options)

    def discard(self, resource: str, name: str) -> None:
        """As `delete`; one that has gone already is no error."""
        with gone_is_done():
            self.delete(resource, name)

    def watch(self, resource: str, version: str) -> Iterator[Manifest]:
        """Events after a resource version, until the server ends the stream."""
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "300"}
        path = self.path(resource)
        with self._http.stream("GET", path, params=query, timeout=None) as response:
            for line in response.iter_lines():
                yield json.loads(line)

    def is_ready(self) -> bool:
        """Whether the server says that it is."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **query: str,
    ) -> Manifest:
        """Any request whose reply is JSON."""
        response = self._http.request(
            method, path, json=body, params=query, headers={"Content-Type": content_type}
        )
        if response.is_error:
            raise ApiError(response)
        reply: Manifest = response.json()
        return reply

    def apply_yaml(self, text: str) -> list[Manifest]:
        """Applies all documents of a text, in their order."""
        documents = YAML(typ="safe", pure=True).load_all(text)
        return [self.apply(document) for document in documents if document]

    def list(self, resource: str, labels: str = "") -> list[Manifest]:
        reply = self.request("GET", self.path(resource), labelSelector=labels)
        items: list[Manifest] = reply["items"]
        return items

    def path(self, resource: str, *parts: str) -> str:
        """Of a resource, and below it of a name and a subresource."""
        return _path(resource, self.namespace, *parts)

    def _path_of(self, manifest: Manifest) -> str:
        """Of all objects of the manifest's kind in its namespace."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        if (version, kind) not in self._resources:
            for found in self.request("GET", f"{_root(version)}/{version}")["resources"]:
                if "/" not in found["name"]:  # else a subresource
                    key = version, found["kind"]
                    self._resources[key] = f"{version}/{found['name']}", found["namespaced"]
        resource, namespaced = self._resources[version, kind]
        own = manifest["metadata"].get("namespace", self.namespace)
        return _path(resource, own if namespaced else "")


def _path(resource: str, namespace: str, *parts: str) -> str:
    version, _, plural = resource.rpartition("/")
    place = ["namespaces", namespace] if namespace else []
    return "/".join([_root(version), version, *place, plural, *filter(None, parts)])


def _root(version: str) -> str:
    return "/api" if version == "v1" else "/apis"
