"""A request as somebody would make it again from a terminal or a program, and what a program needs to begin with. Pure: nothing of the
person is in it."""

from __future__ import annotations

from consent.core.facts import Habilitation


def as_curl(portal: str, request: str) -> str:
    """What the HTTP API says of it; the token is the reader's own."""
    return f'curl --header "Authorization: Bearer $ACCORD_TOKEN" \\\n  {portal}/v1/requests/{request}'


def as_python(data_set: str, purpose: str, authorisation: str) -> str:
    """The same question under the same agreement, by the SDK: a request of its own."""
    return "\n".join(
        (
            "import asyncio",
            "",
            "from exchange.local import open_bus",
            "",
            "",
            "async def main() -> None:",
            "    async with open_bus() as bus:",
            "        request = await bus.request(",
            f'            "{data_set}",',
            f'            consent=bytes.fromhex("{authorisation}"),',
            f'            purpose="{purpose}",',
            "        )",
            "        print((await request.answer()).data)",
            "",
            "",
            "asyncio.run(main())",
        )
    )


def as_env(portal: str, client: str, recipient: str) -> str:
    """The settings of the SDK for this client and collectivity, as a `.env` file; where its key lies is its owner's to say."""
    lines = (
        f"ACCORD_URL={portal}",
        f"ACCORD_CLIENT={client}",
        f"ACCORD_CLIENT_KEY_FILE={client}.key.jwk",
        f"ACCORD_RECIPIENT={recipient}",
    )
    return "".join(f"{line}\n" for line in lines)


def as_agreement(right: Habilitation) -> str:
    """How to ask for an agreement under a habilitation, all its scopes, by the SDK: then the request of `as_python` goes."""
    return "\n".join(
        (
            "import asyncio",
            "",
            "from exchange.introduction import terms",
            "from exchange.local import open_bus",
            "",
            "",
            "async def main() -> None:",
            "    async with open_bus() as bus:",
            "        agreed = terms(",
            f'            "{right.recipient}",',
            "            bus.clock.now_ms(),",
            f'            "{right.data_set}",',
            f'            purpose="{right.purpose}",',
            f"            scopes={tuple(sorted(right.scopes))!r},".replace("'", '"'),
            "        )",
            "        print((await bus.want(agreed)).hex())",
            "",
            "",
            "asyncio.run(main())",
        )
    )
