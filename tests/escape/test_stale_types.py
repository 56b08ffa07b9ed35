"""Types of modules that are gone, their numbers used again at once: nothing that lives is taken for another type.

A class of our own: a canonical type's number is compared by machine code, so a function, an object or a row that
carried a number while a new type has it would be called with other parameters: one call from there to any address.
"""

from __future__ import annotations

import gc
import random

import pytest

import wardian
from tests.escape.guest import child
from tests.support import MODES, Mode

KINDS = ("i32", "i64", "f32", "f64", "funcref", "externref")


def _zero(kind: str) -> str:
    return f"(ref.null {kind[:-3]})" if kind.endswith("ref") else f"({kind}.const 0)"


HOME = """(module (table (export "t") 64 funcref) (table (export "o") 64 anyref)
  (global (export "g") (mut funcref) (ref.null func)))"""


def giver(kinds: tuple[str, ...], at: int) -> str:
    """Leaves a function and an object in somebody else's tables."""
    params = " ".join(kinds)
    return f"""(module (type $f (sub (func (param {params}) (result i32))))
      (rec (type $s (sub (struct (field {kinds[0]}) (field i64))))
        (type $d (sub $s (struct (field {kinds[0]}) (field i64) (field (ref null $d))))))
      (import "home" "t" (table 1 funcref)) (import "home" "o" (table $o 1 anyref))
      (import "home" "g" (global $g (mut funcref)))
      (func $f (type $f) (i32.const {at})) (elem (table 0) (i32.const {at}) func $f)
      (func (export "leave") (table.set $o (i32.const {at}) (struct.new_default $d)) (global.set $g (ref.func $f))))"""


def taker(kinds: tuple[str, ...], salt: int) -> str:
    """Tries what is in the tables as types of its own: none of which is that of a giver, but for $right's."""
    def one(i: int, params: tuple[str, ...]) -> str:
        return f"""(type $w{i} (sub (func (param {" ".join(params)}) (result i32))))
          (rec (type $ws{i} (sub (struct (field i64) (field {params[-1]})))) (type $wd{i} (sub $ws{i}
            (struct (field i64) (field {params[-1]}) (field (ref null $ws{i}))))))"""

    wrong = [(*kinds, *(KINDS[salt + i >> 2 * j & 3] for j in range(5))) for i in range(6)]
    cases = [
        f"""(func (export "call {i}") (param i32) (result i32) {" ".join(map(_zero, p))}
              (call_indirect (type $w{i}) (local.get 0)))
            (func (export "ref {i}") (param i32) (result i32)
              (i32.add (ref.test (ref $w{i}) (table.get (local.get 0))) (ref.test (ref $ws{i})
                (table.get $o (local.get 0)))))
            (func (export "cast {i}") (param i32) (drop (ref.cast (ref $wd{i}) (table.get $o (local.get 0)))))"""
        for i, p in enumerate(wrong)
    ]
    return f"""(module {" ".join(one(i, p) for i, p in enumerate(wrong))}
      (type $right (sub (func (param {" ".join(kinds)}) (result i32))))
      (import "home" "t" (table 1 funcref)) (import "home" "o" (table $o 1 anyref))
      (func (export "right") (param i32) (result i32) {" ".join(map(_zero, kinds))}
        (call_indirect (type $right) (local.get 0)))
      {" ".join(cases)})"""


def attack(mode: Mode, rounds: int) -> None:
    engine = wardian.Engine(wardian.Config(**mode._asdict(), cache=False))
    known = engine.process.canonical
    chance = random.Random(5)
    again = 0
    for turn in range(rounds):
        home = wardian.Module(HOME, engine).instantiate()
        kinds = tuple(chance.choice(KINDS) for _ in range(1 + turn % 3))
        at = turn % 60
        wardian.Module(giver(kinds, at), engine).instantiate({"home": home.exports}).exports.leave()
        handle = home.exports.o[at]
        # Many that nobody uses any more, and whose numbers are the next to be used again.
        crowd = [
            wardian.Module(giver((KINDS[i % 6], *kinds, "i64", KINDS[i // 6 % 6]), at), engine).code()
            for i in range(18)
        ]
        seen = set(known._alive)
        del crowd
        gc.collect()
        known.sweep()
        dead = seen - known._alive.keys()
        known._next = 1
        code = wardian.Module(taker(kinds, 6 * turn), engine)
        numbers = {id >> 4 for id in code.code().type_ids.words}
        again += len(numbers & dead)
        exports = code.instantiate({"home": home.exports}).exports
        del code
        gc.collect()
        known.sweep()
        assert exports.right(at) == at
        for i in range(6):
            with pytest.raises(wardian.Trap) as caught:
                exports[f"call {i}"](at)
            assert caught.value.code == "bad_signature", caught.value
            assert exports[f"ref {i}"](at) == 0
            with pytest.raises(wardian.Trap) as caught:
                exports[f"cast {i}"](at)
            assert caught.value.code == "cast_failure", caught.value
        assert (len(handle), handle[1], home.exports.g.value is not None) == (3, 0, True)
        del home, exports
        # The last that holds anything of the giver's: a handle, which holds the store.
        assert handle[2] is None
        del handle
        gc.collect()
    assert again > 3 * rounds, again


@pytest.mark.parametrize(
    ("mode", "rounds"),
    [pytest.param(Mode("baseline", "guard"), 1, id="one"),
     *(pytest.param(m, 4, id=str(m), marks=pytest.mark.slow) for m in MODES)],
)  # fmt: skip
def test_numbers_of_dead_types_are_used_again(mode: Mode, rounds: int) -> None:
    child(attack, mode, rounds, timeout=300)
