"""Builds and parses packets with scapy, as ordered line by line in JSON.

{"build": [LAYER, ...]} gives {"octets": OCTETS}. {"parse": CLASS, "octets": OCTETS}
gives {"layers": [LAYER, ...], "rebuilt": OCTETS}, where the layers were built anew
from their fields, their lengths left to scapy. A LAYER is {"class": ..., "fields":
{...}}, OCTETS are {"hex": ...}. What cannot be done gives {"error": ...}.
"""

import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.fields import (  # noqa: E402
    BitField, ByteEnumField, FieldLenField, FlagsField, FlagValue, LenField,
    PacketListField, StrFixedLenField, StrLenField, XByteField)
from scapy.layers import ppp, pptp  # noqa: E402
from scapy.layers.l2 import GRE_PPTP  # noqa: E402
from scapy.packet import NoPayload, Packet, Raw, bind_layers  # noqa: E402


# scapy has no Compression Control Protocol, RFC 1962, and no MPPE, RFC 3078.
# They are put together here from its fields.

class CCP_Option(Packet):
    fields_desc = [
        XByteField("type", 0),
        FieldLenField("len", None, fmt="B", length_of="data",
                      adjust=lambda _, n: n + 2),
        StrLenField("data", b"", length_from=lambda p: p.len - 2),
    ]

    def extract_padding(self, rest):
        return b"", rest

    @classmethod
    def dispatch_hook(cls, raw=None, *_, **__):
        if raw and raw[0] == 18:
            return CCP_Option_MPPE
        return CCP_Option


class CCP_Option_MPPE(CCP_Option):
    fields_desc = [
        XByteField("type", 18),
        XByteField("len", 6),
        BitField("unused_1", 0, 7),
        BitField("stateless", 0, 1),
        BitField("unused_2", 0, 16),
        FlagsField("bits", 0, 8, ["MPPC", "2", "4", "8", "D", "40", "128", "56"]),
    ]

    @classmethod
    def dispatch_hook(cls, *_, **__):
        return CCP_Option_MPPE


class CCP(Packet):
    fields_desc = [
        ByteEnumField("code", 1, ppp._PPP_conftypes),
        XByteField("id", 0),
        FieldLenField("len", None, fmt="H", length_of="options",
                      adjust=lambda _, n: n + 4),
        PacketListField("options", [], CCP_Option,
                        length_from=lambda p: p.len - 4),
    ]


class MPPE(Packet):
    fields_desc = [
        FlagsField("bits", 0, 4, ["D", "C", "B", "A"]),
        BitField("count", 0, 12),
    ]


bind_layers(ppp.PPP, CCP, proto=0x80fd)
bind_layers(ppp.PPP, MPPE, proto=0x00fd)

CLASSES = {
    c.__name__: c
    for module in (ppp.__dict__, pptp.__dict__, globals())
    for c in module.values()
    if isinstance(c, type) and issubclass(c, Packet)
}


def to_scapy(v):
    if isinstance(v, list):
        return [to_scapy(x) for x in v]
    if isinstance(v, dict):
        if "hex" in v:
            return bytes.fromhex(v["hex"])
        fields = {k: to_scapy(x) for k, x in v["fields"].items()}
        return CLASSES[v["class"]](**fields)
    return v


def octets(b):
    return {"hex": b.hex()}


def from_scapy(v, field=None):
    if type(v) is Packet:  # what scapy makes of octets that it does not look into
        return from_scapy(Raw(bytes(v)))
    if isinstance(v, Packet):
        return {
            "class": type(v).__name__,
            "fields": {f.name: from_scapy(v.getfieldval(f.name), f)
                       for f in v.fields_desc},
        }
    if isinstance(v, list):
        return [from_scapy(x) for x in v]
    if isinstance(v, FlagValue):
        return int(v)
    if isinstance(v, bytes):
        # scapy keeps the padding of texts in what it has parsed.
        return octets(v.rstrip(b"\0") if isinstance(field, StrFixedLenField) else v)
    return v


def layers(packet):
    while packet is not None and not isinstance(packet, NoPayload):
        yield packet
        packet = packet.payload


# The length that scapy would give these is not theirs.
OWN_LENGTH = (pptp.PPTPIncomingCallReply,)


def anew(packet):
    """Makes scapy build a packet that it would else give back as it came."""
    for layer in layers(packet):
        layer.raw_packet_cache = None
        layer.raw_packet_cache_fields = None
        layer.explicit = 0
        for f in layer.fields_desc:
            v = layer.fields.get(f.name)
            for x in v if isinstance(v, list) else [v]:
                if isinstance(x, Packet):
                    anew(x)
            if isinstance(f, (FieldLenField, LenField)) and not isinstance(layer, OWN_LENGTH):
                layer.fields.pop(f.name, None)
    return packet


def answer(order):
    if "build" in order:
        packet = None
        for layer in to_scapy(order["build"]):
            packet = layer if packet is None else packet / layer
        return {"octets": octets(bytes(packet))}
    packet = CLASSES[order["parse"]](to_scapy(order["octets"]))
    found = [from_scapy(x) for x in layers(packet)]
    return {"layers": found, "rebuilt": octets(bytes(anew(packet)))}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {"error": repr(e)}
    print(json.dumps(reply), flush=True)
