"""Where the events of live sources are sent: an address on the web, or the topic of an MQTT broker."""

import json
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from tracker.config import EventsConfig
from tracker.errors import InputError, mask_url
from tracker.video.credentials import insert_credentials

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo

TIMEOUT = 5.0
"""Seconds for which an answer is waited for."""
_LATER = {408, 425, 429}  # Request Timeout, Too Early, Too Many Requests: status codes of clients' errors that pass


class UnreachableError(Exception):
    """The target did not take an event, but may do so later; the message is the reason."""


class RefusedError(Exception):
    """The target does not want this event."""


class EventTarget(Protocol):
    """Takes events, one at a time.

    Attributes:
        name: Its address, without a password.
    """

    name: str

    def send(self, event: Mapping[str, Any]) -> None:
        """Sends an event.

        Raises:
            UnreachableError: It did not arrive, and may be sent again.
            RefusedError: It arrived, and is not wanted.
        """

    def close(self) -> None:
        """Ends the connection."""


def open_targets(config: EventsConfig) -> list[EventTarget]:
    """Returns the targets that the settings name; none is connected to yet.

    Raises:
        InputError: An address is wrong, or the extra is not installed.

    Example:
        >>> open_targets(EventsConfig(webhook="ftp://host/"))
        Traceback (most recent call last):
        tracker.errors.InputError: --webhook ftp://host/ must be an address such as https://HOST/PATH
    """
    targets: list[EventTarget] = []
    if config.webhook:
        _check_installed("--webhook", "tenacity", "httpx")
        targets.append(Webhook(config.webhook))
    if config.mqtt:
        _check_installed("--mqtt", "tenacity", "paho")
        targets.append(MqttTopic(config.mqtt))
    return targets


def _check_installed(flag: str, *modules: str) -> None:
    if not all(map(find_spec, modules)):
        raise InputError(f"{flag} needs the extra live: pip install 'video-tracker[live]'")


def _split(url: str, schemes: tuple[str, ...], flag: str) -> SplitResult:
    try:
        parts = urlsplit(insert_credentials(url))
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        valid = False
    if not valid:
        raise InputError(f"{flag} {url} must be an address such as {schemes[-1]}://HOST/PATH")
    return parts


class Webhook:
    """Posts each event as JSON to an address on the web; redirections are not followed.

    {NAME} in the address stands for a variable of the environment (see `insert_credentials`).
    """

    def __init__(self, url: str) -> None:
        import httpx  # of an extra

        self.name = mask_url(url)
        self._url = _split(url, ("http", "https"), "--webhook").geturl()
        self._client = httpx.Client(timeout=TIMEOUT)
        self._transport_error = httpx.TransportError

    def send(self, event: Mapping[str, Any]) -> None:
        try:
            status = self._client.post(self._url, json=event).status_code
        except self._transport_error as error:
            raise UnreachableError(str(error) or type(error).__name__) from error
        if status in _LATER or status >= 500:
            raise UnreachableError(f"its answer was {status}")
        if not 200 <= status < 300:
            raise RefusedError(f"its answer was {status}")

    def close(self) -> None:
        self._client.close()


class MqttTopic:
    """Publishes each event as JSON on a topic, at least once (QoS 1); its library restores the connection.

    {NAME} in the address stands for a variable of the environment (see `insert_credentials`).
    """

    def __init__(self, url: str) -> None:
        from paho.mqtt.client import Client  # of an extra
        from paho.mqtt.enums import CallbackAPIVersion

        parts = _split(url, ("mqtts", "mqtt"), "--mqtt")
        self.name = mask_url(url)
        self._topic = unquote(parts.path.lstrip("/"))
        if not self._topic or "+" in self._topic or "#" in url.rpartition("@")[2]:  # + and # stand for several topics
            raise InputError(f"--mqtt {url} must name one topic after the host, such as mqtt://HOST/tracker/events")
        self._pending: tuple[bytes, MQTTMessageInfo] | None = None
        self._reason = "there is no connection"
        self._is_connected = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._is_connected.clear()
        self._client.reconnect_delay_set(1, 30)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or "") or None)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        assert parts.hostname is not None
        self._client.connect_async(parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883))
        self._is_started = False

    def send(self, event: Mapping[str, Any]) -> None:
        payload = json.dumps(event).encode()
        if not self._is_started:
            self._is_started = True
            self._client.loop_start()
        if not self._is_connected.wait(TIMEOUT):
            raise UnreachableError(self._reason)
        if self._pending is None or self._pending[0] != payload:  # otherwise its acknowledgement may still come
            self._pending = payload, self._client.publish(self._topic, payload, qos=1)
        info = self._pending[1]
        try:
            info.wait_for_publish(TIMEOUT)
            if not info.is_published():
                raise UnreachableError("it did not acknowledge the event")
        except (RuntimeError, ValueError) as error:  # the connection ended just now, or too many wait
            self._pending = None
            raise UnreachableError(str(error)) from error
        self._pending = None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: object, userdata: object, flags: object, code: Any, properties: object) -> None:
        if code.is_failure:
            self._reason = f"it refused the connection ({code})"
        else:
            self._is_connected.set()
