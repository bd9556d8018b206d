"""What a wallet keeps, and for whom it opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.core.sealing import capsule_info
from exchange.introduction import introduce_collectivity
from exchange.sealing import public_bytes, unseal
from exchange.wallet import Wallet
from tests.world import OPERATOR, RECIPIENT, World


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """Its collectivity's wallet lies in a folder, and knows the ledger's key for certificates."""
    world = World()
    world.wallet = Wallet.open(tmp_path, RECIPIENT, OPERATOR, public_bytes(world.keys.certificate))
    await introduce_collectivity(world.ledger, world.wallet, world.clock.now_ms())
    return world


def opened_again(world: World, issuer: bytes = b"") -> Wallet:
    """As another process opens the same folder."""
    assert world.wallet.folder is not None
    return Wallet.open(world.wallet.folder.parent, RECIPIENT, OPERATOR, issuer)


def file_of(world: World, consent: bytes) -> Path:
    assert world.wallet.folder is not None
    return world.wallet.folder / consent.hex()


async def test_a_capsule_comes_back_as_the_ledger_sealed_it_and_lies_on_the_disk_in_no_other_ones_reach(
    world: World,
) -> None:
    """Identity, salt and certificate as sealed; the file holds none of them in clear; one file an agreement, whoever kept it last."""
    consent = await world.give()
    came = (await world.ledger.capsule(consent, OPERATOR)).capsule
    plain = unseal(world.wallet.private, came, capsule_info(RECIPIENT, consent), "capsule")
    world.wallet.keep(consent, came)
    capsule = opened_again(world).capsule(consent)
    assert capsule is not None and capsule == world.wallet.capsule(consent)
    lying = file_of(world, consent).read_bytes()
    for part in (capsule.identity, capsule.salt, capsule.certificate):
        assert part in plain and part not in lying
    assert [path.name for path in file_of(world, consent).parent.iterdir()] == [consent.hex()]


async def test_a_certificate_is_said_to_be_checked_under_the_key_that_signed_it_and_no_other(world: World) -> None:
    """Known and right: its key; not known, or another's: nothing, so that whoever opens an answer with it looks again."""
    consent = await world.give()
    came = (await world.ledger.capsule(consent, OPERATOR)).capsule
    signed = public_bytes(world.keys.certificate)
    for issuer, found in ((signed, signed), (b"", b""), (public_bytes(world.keys.registrar), b"")):
        opened_again(world, issuer).keep(consent, came)
        capsule = opened_again(world).capsule(consent)
        assert capsule is not None and capsule.checked == found


async def test_a_file_that_was_changed_opens_for_nobody(world: World) -> None:
    """Each byte counts; another agreement's file does not do, nor an empty one."""
    consent, other = await world.give(), await world.give()
    file = file_of(world, consent)
    kept = file.read_bytes()
    for place in (0, 12, 40, len(kept) - 1):
        file.write_bytes(kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :])
        assert world.wallet.capsule(consent) is None
    for changed in (b"", kept[:20], file_of(world, other).read_bytes()):
        file.write_bytes(changed)
        assert world.wallet.capsule(consent) is None
    file.write_bytes(kept)
    assert world.wallet.capsule(consent) is not None


async def test_what_was_kept_as_it_came_still_opens_and_what_is_not_ours_does_not(world: World) -> None:
    """A file of an earlier version is the ledger's own seal: unchecked, and used all the same. A capsule of another wallet is none."""
    consent = await world.give()
    came = (await world.ledger.capsule(consent, OPERATOR)).capsule
    ours = world.wallet.capsule(consent)
    file_of(world, consent).write_bytes(came)
    capsule = world.wallet.capsule(consent)
    assert ours is not None and capsule == ours._replace(checked=b"")
    stranger = Wallet.new(RECIPIENT, OPERATOR)
    stranger.keep(consent, came)
    assert stranger.capsule(consent) is None
