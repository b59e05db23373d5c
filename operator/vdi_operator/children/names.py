"""Names, labels and addresses of what belongs to a session. Pure.

They are those of ``manifests/session``, with the session's name where those have the user's.
"""

from __future__ import annotations

import functools
import hashlib
import re

from vdi_operator.api.objects import GROUP, Object
from vdi_operator.api.session import HomePolicy, Session
from vdi_operator.api.template import Template
from vdi_operator.children.kinds import KINDS
from vdi_operator.settings import Settings

__all__ = [
    "FORMER_TEMPLATE_ANNOTATION",
    "HTTPS_PORT",
    "INSTANCE_LABEL",
    "MANAGER",
    "MINT_ANNOTATION",
    "NAME_LABEL",
    "PASSWORD_ANNOTATION",
    "PLACEHOLDERS",
    "PLACEHOLDER_ANNOTATION",
    "RESERVED_LABELS",
    "SESSION_PORT",
    "TEMPLATE_ANNOTATION",
    "TEMPLATE_LABEL",
    "USER_ANNOTATION",
    "USER_LABEL",
    "auth_name",
    "claim_name",
    "fresh_home_name",
    "home_labels",
    "home_name",
    "host",
    "labels",
    "login_name",
    "metadata",
    "own_home",
    "owner",
    "placeholder_metadata",
    "pod_name",
    "pod_of",
    "policy_name",
    "route_name",
    "rtc_name",
    "selector",
    "service_name",
    "slug",
    "url",
]

MANAGER = "vdi-operator"
# Of placeholders, in the place of MANAGER: whoever follows the pods of sessions by that one never sees one of these.
PLACEHOLDERS = f"{MANAGER}-placeholders"
# Where every desktop listens.
SESSION_PORT = 8080
HTTPS_PORT = 443

_RECOMMENDED = "app.kubernetes.io"
NAME_LABEL = f"{_RECOMMENDED}/name"
INSTANCE_LABEL = f"{_RECOMMENDED}/instance"
USER_LABEL = f"{GROUP}/user-slug"
TEMPLATE_LABEL = f"{GROUP}/template"
# Whom a home belongs to, as the site writes the user: slugs are for names, this is for comparing.
USER_ANNOTATION = f"{GROUP}/user"
# Uid of the template that a pod was made from, and the digest of what the template then said of desktops.
TEMPLATE_ANNOTATION = f"{GROUP}/made-from"
# What earlier operators noted in its place: uid and generation of the template.
FORMER_TEMPLATE_ANNOTATION = f"{GROUP}/template-generation"
# SHA-256 of what a placeholder was made as.
PLACEHOLDER_ANNOTATION = f"{GROUP}/placeholder"
# Since when the password in a Secret is that one, where the Secret had to be made again with it.
PASSWORD_ANNOTATION = f"{GROUP}/password-since"
# When a password was made, on its Secret and on each pod that reads it. It is compared, never reckoned with: it is of
# the operator's clock, while PASSWORD_ANNOTATION is of the API server's, which made the pods' times as well.
MINT_ANNOTATION = f"{GROUP}/password-minted"

# By these, Services and policies choose pods: no label of a user may have such a key.
RESERVED_LABELS = frozenset(
    {
        NAME_LABEL,
        INSTANCE_LABEL,
        USER_LABEL,
        f"{_RECOMMENDED}/component",
        f"{_RECOMMENDED}/part-of",
        f"{_RECOMMENDED}/managed-by",
    }
)

_NAME = "vdi-session"
_PLACEHOLDER = "vdi-placeholder"
# No name of a user's own home begins like the other one.
_HOME, _FRESH_HOME = "vdi-home-", "vdi-fresh-home-"
_DIGEST_LENGTH = 16  # 64 bits: nobody finds a second name for somebody's slug
_MARK = "---"
_LONGEST_LABEL = 63
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DOMAIN = re.compile(rf"{_LABEL.pattern}(?:\.{_LABEL.pattern})*")


@functools.lru_cache(maxsize=4096)
def slug(text: str, longest: int = 48) -> str:
    """A DNS label for any text: the text itself where it is one, else what is left of it and a digest of all of it.

    Two texts never get the same: a text with ``---`` in it is always given a digest, which no other text has. As
    kubespawner's slugs, with a longer digest.

    :param longest: characters, so that a prefix still fits in front.
    :raises ValueError: so few leave no room for a digest.
    """
    longest = min(longest, _LONGEST_LABEL)
    room = longest - len(_MARK) - _DIGEST_LENGTH
    if room < 1:
        raise ValueError(f"a slug of {longest} characters is too short, {longest - room + 1} are the least")
    if _LABEL.fullmatch(text) and len(text) <= longest and _MARK not in text:
        return text
    # Lone surrogates are no text for UTF-8, but a JSON document may hold them.
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:room].strip("-") or "x"
    return f"{readable}{_MARK}{digest}"


def pod_name(session: Session) -> str:
    """Of its desktop."""
    return pod_of(session.name)


def pod_of(session: str) -> str:
    """Of the desktop of whichever session has this name."""
    return f"{_NAME}-{session}"


def route_name(session: Session) -> str:
    """Of its IngressRoute."""
    return f"{_NAME}-{session.name}"


def login_name(session: Session) -> str:
    """Of the Middleware that asks for its password; as the Secret with it, whose kind is another."""
    return f"{_NAME}-auth-{session.name}"


def policy_name(session: Session) -> str:
    """Of its NetworkPolicy."""
    return f"{_NAME}-{session.name}"


def service_name(session: Session) -> str:
    """Of its Service."""
    return f"{_NAME}-service-{session.name}"


def auth_name(session: Session) -> str:
    """Of the Secret with its user name and password."""
    return f"{_NAME}-auth-{session.name}"


def rtc_name(session: Session) -> str:
    """Of the Secret with its RTC configuration."""
    return f"{_NAME}-rtc-{session.name}"


def home_name(user: str) -> str:
    """Of a user's own home: one for all of the user's sessions."""
    return f"{_HOME}{slug(user)}"


def fresh_home_name(user: str) -> str:
    """Of a user's temporary home: one for all of the user's sessions that want a fresh one."""
    return f"{_FRESH_HOME}{slug(user)}"


def claim_name(session: Session) -> str:
    """Of the home that a session wants."""
    name = fresh_home_name if session.home_policy is HomePolicy.FRESH else home_name
    return name(session.user)


def own_home(claim: str) -> str:
    """Of the own home of whoever has this one: itself, unless it is a temporary one."""
    return f"{_HOME}{claim.removeprefix(_FRESH_HOME)}" if claim.startswith(_FRESH_HOME) else claim


def placeholder_metadata(template: Template, namespace: str) -> Object:
    """Of a pod that keeps a place warm. It has no session, and the label by which sessions' pods are chosen is not its.

    The API server ends its name. It goes with its template.
    """
    kind = KINDS["VDITemplate"]
    labels = {NAME_LABEL: _PLACEHOLDER, **_common("placeholder"), f"{_RECOMMENDED}/managed-by": PLACEHOLDERS}
    return {
        "generateName": f"{_PLACEHOLDER}-{slug(template.name)}-",
        "namespace": namespace,
        "labels": labels | {TEMPLATE_LABEL: template.name},
        "ownerReferences": [
            {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                "name": template.name,
                "uid": template.uid,
                "controller": True,
            }
        ],
    }


def labels(session: Session, component: str) -> dict[str, str]:
    """Of an object that goes with its session."""
    return {**selector(session), **_common(component)}


def selector(session: Session) -> dict[str, str]:
    """What chooses a session's pod and no other."""
    return {NAME_LABEL: _NAME, INSTANCE_LABEL: session.name}


def home_labels(user: str) -> dict[str, str]:
    """Of a home. None names a session: what is deleted by a session's label is never a home."""
    return {NAME_LABEL: _NAME, USER_LABEL: slug(user), **_common("home")}


def _common(component: str) -> dict[str, str]:
    return {
        f"{_RECOMMENDED}/component": component,
        f"{_RECOMMENDED}/part-of": "vdi-platform",
        f"{_RECOMMENDED}/managed-by": MANAGER,
    }


def owner(session: Session) -> Object:
    """Reference by which the API server deletes an object with its session.

    It does not block the session's deletion: that would ask for a right on finalizers where the API server checks it.
    """
    kind = KINDS["VDISession"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": session.name,
        "uid": session.uid,
        "controller": True,
    }


def metadata(session: Session, name: str, component: str) -> Object:
    """Of an object that goes with its session."""
    return {
        "name": name,
        "namespace": session.namespace,
        "labels": labels(session, component),
        "ownerReferences": [owner(session)],
    }


def host(session: Session, settings: Settings) -> str:
    """Under which users reach it.

    :raises ValueError: it is no DNS name; no other text may get into a rule of Traefik's.
    """
    name = f"{session.host or session.name}.{settings.domain}"
    if not _DOMAIN.fullmatch(name) or any(len(label) > _LONGEST_LABEL for label in name.split(".")):
        raise ValueError(f"{name!r} is no host name: labels of a-z, 0-9 and - of at most {_LONGEST_LABEL} characters")
    return name


def url(session: Session, settings: Settings) -> str:
    """Of its page, with the port unless it is that of HTTPS.

    :raises ValueError: as :func:`host`.
    """
    port = "" if settings.port == HTTPS_PORT else f":{settings.port}"
    return f"https://{host(session, settings)}{port}/"
