"""Endpoints of somebody else: which addresses this server may call, and a try whether one answers.

A user names the address and the server calls it, so an address inside the server's own network would let the user read
what only the server can see. Only public addresses pass, and those that SHUYUAN_ALLOWED_ENDPOINTS names.
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from webapp.core.errors import UserError
from workers.pinning import Pinned

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PROTOCOL = ipaddress.ip_network("192.0.0.0/24")
"""Kept for protocols (RFC 6890); some clouds answer there about the machine itself."""
LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
TRY_SECONDS = 10.0
LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class Target:
    """A checked address: the URL as given, and the IP addresses that its host had when it was checked."""

    url: str
    host: str
    port: int
    addresses: tuple[str, ...]


def check_endpoint(url: str) -> Target:
    """Refuse what is no http(s) URL or leads into a private network. Resolves the host."""
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
    except ValueError:  # brackets or a port that are none
        parts, port = urlsplit(""), 0
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or not port
    ):
        raise UserError(
            "endpoint.bad_url",
            "“{url}” is no endpoint; write it as https://host/v1, without user name, query or fragment.",
            url=url[:200],
        )
    addresses = _resolve(parts.hostname, port)
    for address in addresses:
        if not _is_allowed(parts.hostname, port, address):
            raise UserError(
                "endpoint.private_address",
                "{host} lies at {address}, inside a private network, and may not be called; "
                "whoever runs the server can allow it with SHUYUAN_ALLOWED_ENDPOINTS={host}:{port}.",
                host=parts.hostname,
                address=str(address),
                port=port,
            )
    return Target(url, parts.hostname, port, tuple(str(address) for address in addresses))


def _resolve(host: str, port: int) -> list[IpAddress]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found))
    except (OSError, UnicodeError, ValueError) as error:
        raise UserError("endpoint.unknown_host", "There is no host named {host}; check the address.", host=host[:200]) from error


def _plain(address: IpAddress) -> IpAddress:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), which is where the packets would go."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            return address.ipv4_mapped or address.sixtofour or address
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_local(address: IpAddress) -> bool:
    """Local addresses that `is_global` lets pass: site-local ones, and IPv4 in the lowest 32 bits of IPv6."""
    if isinstance(address, ipaddress.IPv4Address):
        return address in PROTOCOL
    return address.is_site_local or address in LOCAL_NAT64 or int(address) >> 32 == 0


def _is_allowed(host: str, port: int, address: IpAddress) -> bool:
    address = _plain(address)
    if address.is_global and not (address.is_multicast or address.is_reserved or _is_local(address)):
        return True
    return any(_matches(entry, host, port, address) for entry in settings.ALLOWED_ENDPOINTS)


def _matches(entry: str, host: str, port: int, address: IpAddress) -> bool:
    if "/" in entry:
        return address in ipaddress.ip_network(entry, strict=False)
    name, colon, number = entry.rpartition(":")
    if not colon or not number.isdigit() or entry.count(":") > 1:
        return entry.strip("[]") in {host, str(address)}
    return name.strip("[]") in {host, str(address)} and int(number) == port


def list_models(url: str, key: str) -> list[str]:
    """Names of the models that an endpoint offers (GET /models). Follows no redirects and connects to the checked address."""
    target = check_endpoint(url)
    try:
        with _client(target, key) as client, client.stream("GET", "/models") as response:
            if response.status_code != httpx.codes.OK:
                raise _refused(target, response.status_code)
            content = _limited(response, target)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            "endpoint.unreachable",
            "{url} does not answer ({kind}); check the address and that the service runs.",
            url=target.url,
            kind=type(error).__name__,
        ) from error
    try:
        answer = httpx.Response(200, content=content).json()
        return [str(entry["id"]) for entry in answer["data"]][:500]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "endpoint.not_compatible",
            "{url} does not list its models as the OpenAI interface does; give the address that ends in /v1.",
            url=target.url,
        ) from error


def _refused(target: Target, status: int) -> UserError:
    if status in {401, 403}:
        return UserError("endpoint.bad_key", "{url} refuses the key; enter the right one.", url=target.url)
    return UserError(
        "endpoint.refused",
        "{url} answered {answer} to a request for its models; give the address that ends in /v1.",
        url=target.url,
        answer=status,
    )


def _limited(response: httpx.Response, target: Target) -> bytes:
    content = b""
    for block in response.iter_bytes():
        content += block
        if len(content) > LARGEST_ANSWER:
            raise _refused(target, response.status_code)
    return content


def _client(target: Target, key: str) -> httpx.Client:
    """A client that goes to the address that was checked, so that the name cannot point elsewhere a moment later."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(
        base_url=target.url,
        headers=headers,
        timeout=TRY_SECONDS,
        follow_redirects=False,
        trust_env=False,
        transport=Pinned(target.url, target.addresses),
    )
