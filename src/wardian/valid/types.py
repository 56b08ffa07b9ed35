"""Spec chapter "Validation / Types" and "Matching": well-formed types, equivalence and subtyping.

Invariant: two type indices of one module are equivalent (iso-recursive: same position in recursion groups of the same
structure) if and only if they have the same canonical index; two types of any modules are equivalent if and only if
they have the same :meth:`TypeContext.key`. Nothing here recurses: a group may refer to earlier groups only, so one
pass in index order is enough, and an earlier type stands in a later one by its canonical index (or its digest) alone,
which keeps the cost linear in the size of the type section.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

from wardian.digest import blake2b
from wardian.errors import InvalidError
from wardian.limits import Limits
from wardian.syntax.module import Module
from wardian.syntax.types import (
    ANY,
    ARRAY,
    BOT,
    EQ,
    EXN,
    EXTERN,
    FUNC,
    I31,
    I32,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    AbsHeapType,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    MemoryType,
    NumType,
    PackedType,
    RefType,
    StructType,
    TableType,
    TypeLimits,
    ValType,
)

BOT_HEAP: Final = AbsHeapType("bot", 0x00, "bot")
"""The bottom of every heap type hierarchy; it exists in unreachable code only."""

BOT_REF: Final = RefType(False, BOT_HEAP)
"""What ``ref.as_non_null`` makes of :data:`BOT`: some non-null reference, but no number."""

_SUPERTYPES: Final[dict[AbsHeapType, frozenset[AbsHeapType]]] = {
    FUNC: frozenset({FUNC}),
    NOFUNC: frozenset({NOFUNC, FUNC}),
    EXTERN: frozenset({EXTERN}),
    NOEXTERN: frozenset({NOEXTERN, EXTERN}),
    ANY: frozenset({ANY}),
    EQ: frozenset({EQ, ANY}),
    I31: frozenset({I31, EQ, ANY}),
    STRUCT: frozenset({STRUCT, EQ, ANY}),
    ARRAY: frozenset({ARRAY, EQ, ANY}),
    NONE: frozenset({NONE, I31, STRUCT, ARRAY, EQ, ANY}),
    EXN: frozenset({EXN}),
    NOEXN: frozenset({NOEXN, EXN}),
    BOT_HEAP: frozenset({BOT_HEAP, FUNC, NOFUNC, EXTERN, NOEXTERN, ANY, EQ, I31, STRUCT, ARRAY, NONE, EXN, NOEXN}),
}

_KIND: Final[dict[type[CompType], AbsHeapType]] = {FuncType: FUNC, StructType: STRUCT, ArrayType: ARRAY}

_BOTTOM: Final[dict[AbsHeapType, AbsHeapType]] = {FUNC: NOFUNC, STRUCT: NONE, ARRAY: NONE}

_TOP: Final = {"func": FUNC, "extern": EXTERN, "any": ANY, "exn": EXN, "bot": BOT_HEAP}

Form: TypeAlias = "tuple[object, ...]"


def _hashed(form: Form) -> Form:
    """What stands for ``form`` in a dictionary.

    A module chooses the numbers in a form, and with them its hash (that of -1 is that of -2, too). It cannot know the
    hash of a text, which is another in each process: so no module can make all of its forms collide.
    """
    return str(form), form


def is_defaultable(t: ValType) -> bool:
    """Whether locals, struct fields and array elements of this type start with a default value (zero or null)."""
    return not isinstance(t, RefType) or t.nullable


def unpacked(storage: NumType | RefType | PackedType) -> ValType:
    """The value type that reads of a field of this storage type yield: ``i32`` for a packed one."""
    return I32 if isinstance(storage, PackedType) else storage


def check_limits(limits: TypeLimits) -> str | None:
    """The spec's words when the minimum exceeds the maximum, else ``None``."""
    if limits.max is not None and limits.max < limits.min:
        return f"size minimum must not be greater than maximum: {limits.min} > {limits.max}"
    return None


def matches_limits(a: TypeLimits, b: TypeLimits) -> bool:
    """Whether limits ``a`` fit where ``b`` is wanted."""
    if a.is64 != b.is64 or a.min < b.min:
        return False
    return b.max is None or (a.max is not None and a.max <= b.max)


def matches_memory(a: MemoryType, b: MemoryType) -> bool:
    """Whether a memory of type ``a`` may be given where an import asks for ``b``."""
    return a.shared == b.shared and a.page_size_log2 == b.page_size_log2 and matches_limits(a.limits, b.limits)


@final
class TypeContext:
    """The types of one module, checked and made canonical.

    Raises :class:`InvalidError` (``unknown type``, ``sub type``) and :class:`LimitExceeded` (``subtype_depth``,
    ``rec_group``) on creation; everything afterwards expects type indices below ``len(self)`` and raises nothing.
    """

    __slots__ = ("_canon", "_defaultable", "_keys", "_place", "_subs", "depth", "module")

    def __init__(self, module: Module, limits: Limits | None = None, place: int | None = None) -> None:
        bounds = limits or Limits()
        self.module: Final = module
        self.depth: Final[list[int]] = []
        """Length of each type's chain of supertypes."""
        self._subs: Final = module.types
        self._canon: Final[list[int]] = []
        self._keys: list[bytes] | None = None
        self._defaultable: Final[dict[int, int | None]] = {}
        self._place: Final = place
        known: dict[Form, int] = {}
        for first, count in module.rec_groups:
            if count > 1:
                bounds.check("rec_group", count)
            self._add_group(first, count, known)
            # All chains of the group first: comparing structures follows those of later types too.
            for index in range(first, first + count):
                self._place_below_super(index, bounds)
            for index in range(first, first + count):
                self._check_structure(index)

    def __len__(self) -> int:
        return len(self._subs)

    # -- making types canonical ----------------------------------------------------------------------------------------

    def _fail(self, message: str) -> InvalidError:
        return InvalidError(message, offset=self._place)

    def _add_group(self, first: int, count: int, known: dict[Form, int]) -> None:
        """Give each type of the group its canonical index: that of the first equal group, or its own."""
        canon = self._canon
        end = first + count
        if count == 1:
            sub = self._subs[first]
            if isinstance(sub.comp, FuncType) and sub.final and not sub.supers:
                plain = sub.comp.params, sub.comp.results
                form: Form = (self._vals(sub.comp.params, first, end), self._vals(sub.comp.results, first, end))
                canon.append(known.setdefault(form if form == plain else _hashed(form), first))
                return
        form = tuple([self._sub_form(index, first, end) for index in range(first, end)])
        found = known.setdefault(_hashed(form), first)
        canon.extend(range(found, found + count))

    def _sub_form(self, index: int, first: int, end: int) -> Form:
        sub = self._subs[index]
        supers = tuple([self._ref_form(i, first, end) for i in sub.supers])
        comp = sub.comp
        if isinstance(comp, FuncType):
            return (FUNC, sub.final, supers, self._vals(comp.params, first, end), self._vals(comp.results, first, end))
        fields = comp.fields if isinstance(comp, StructType) else (comp.field,)
        return (
            _KIND[type(comp)],
            sub.final,
            supers,
            self._storages(fields, first, end),
            tuple([f.mutable for f in fields]),
        )

    def _ref_form(self, index: int, first: int, end: int) -> int:
        """A type index as it stands in a form: canonical outside of the group, negative by position inside."""
        if index < first:
            return self._canon[index]
        if index < end:
            return first - index - 1
        raise self._fail(f"unknown type {index}")

    def _vals(self, types: tuple[ValType, ...], first: int, end: int) -> Form:
        for t in types:
            if isinstance(t, RefType) and isinstance(t.heap, int):
                return tuple([self._val(v, first, end) for v in types])
        return types

    def _val(self, t: NumType | RefType | PackedType, first: int, end: int) -> object:
        if isinstance(t, RefType) and isinstance(t.heap, int):
            return (t.nullable, self._ref_form(t.heap, first, end))
        return t

    def _storages(self, fields: tuple[FieldType, ...], first: int, end: int) -> Form:
        return tuple([self._val(f.storage, first, end) for f in fields])

    # -- declared supertypes -------------------------------------------------------------------------------------------

    def _place_below_super(self, index: int, limits: Limits) -> None:
        """Check that the chain of supertypes leads back, and not too far: from here on it can be followed."""
        sub = self._subs[index]
        if not sub.supers:
            self.depth.append(0)
            return
        if len(sub.supers) > 1:
            raise self._fail(f"sub type {index} has {len(sub.supers)} super types, at most one is allowed")
        parent = sub.supers[0]
        if parent >= index:
            raise self._fail(f"unknown type {parent}: the super type of type {index} must come before it")
        depth = self.depth[parent] + 1
        limits.check("subtype_depth", depth)
        self.depth.append(depth)

    def _check_structure(self, index: int) -> None:
        """Check that a type is what its supertype says. All chains of its group have been looked at."""
        sub = self._subs[index]
        if not sub.supers:
            return
        parent = sub.supers[0]
        sup = self._subs[parent]
        if sup.final or not self._matches_comp(sub.comp, sup.comp):
            why = "which is final" if sup.final else "by its structure"
            raise self._fail(f"sub type {index} does not match super type {parent} {why}")

    def _matches_comp(self, a: CompType, b: CompType) -> bool:
        if isinstance(a, FuncType):
            return isinstance(b, FuncType) and self.matches_func(a, b)
        if isinstance(a, StructType):
            return (
                isinstance(b, StructType)
                and len(a.fields) >= len(b.fields)
                and all(map(self._matches_field, a.fields, b.fields))
            )
        return isinstance(b, ArrayType) and self._matches_field(a.field, b.field)

    def _matches_field(self, a: FieldType, b: FieldType) -> bool:
        if a.mutable != b.mutable or not self.matches_storage(a.storage, b.storage):
            return False
        return not a.mutable or self.matches_storage(b.storage, a.storage)

    # -- public: one module --------------------------------------------------------------------------------------------

    def canonical(self, index: int) -> int:
        """The smallest type index equivalent to ``index``."""
        return self._canon[index]

    def equivalent(self, a: int, b: int) -> bool:
        """Whether two type indices mean the same type."""
        return self._canon[a] == self._canon[b]

    def expand(self, index: int) -> CompType:
        """The composite type behind a type index (spec: "expansion")."""
        return self._subs[index].comp

    def undefaultable_field(self, index: int) -> int | None:
        """The first field of a structure type that has no default value; ``None`` if all have one."""
        known = self._defaultable
        if index not in known:
            comp = self._subs[index].comp
            assert isinstance(comp, StructType)
            bad = (i for i, field in enumerate(comp.fields) if not is_defaultable(unpacked(field.storage)))
            known[index] = next(bad, None)
        return known[index]

    def is_subtype(self, a: int, b: int) -> bool:
        """Whether type ``a`` is ``b`` or declares it, directly or not, as its supertype."""
        canon = self._canon
        want = canon[b]
        while canon[a] != want:
            supers = self._subs[a].supers
            if not supers:
                return False
            a = supers[0]
        return True

    def matches_heap(self, a: HeapType, b: HeapType) -> bool:
        """Spec "Heap Types": ``a`` <= ``b``."""
        if a == b:
            return True
        if isinstance(a, int):
            if isinstance(b, int):
                return self.is_subtype(a, b)
            return b in _SUPERTYPES[_KIND[type(self._subs[a].comp)]]
        if isinstance(b, int):
            return a is BOT_HEAP or a is _BOTTOM[_KIND[type(self._subs[b].comp)]]
        return b in _SUPERTYPES[a]

    def matches_val(self, a: ValType, b: ValType) -> bool:
        """Spec "Value Types": ``a`` <= ``b``; :data:`BOT` matches everything."""
        if a is b or a is BOT:
            return True
        if isinstance(a, RefType) and isinstance(b, RefType):
            return (b.nullable or not a.nullable) and self.matches_heap(a.heap, b.heap)
        return False

    def matches_vals(self, a: tuple[ValType, ...], b: tuple[ValType, ...]) -> bool:
        """Spec "Result Types": equally long, and matching one by one."""
        return a == b or (len(a) == len(b) and all(map(self.matches_val, a, b)))

    def matches_func(self, a: FuncType, b: FuncType) -> bool:
        """Spec "Function Types": parameters contravariant, results covariant."""
        return self.matches_vals(b.params, a.params) and self.matches_vals(a.results, b.results)

    def matches_storage(self, a: NumType | RefType | PackedType, b: NumType | RefType | PackedType) -> bool:
        """Spec "Field Types": storage types; packed ones match themselves only."""
        if isinstance(a, PackedType) or isinstance(b, PackedType):
            return a is b
        return self.matches_val(a, b)

    def matches_table(self, a: TableType, b: TableType) -> bool:
        """Whether a table of type ``a`` may be given where ``b`` is wanted: same element type, fitting limits."""
        return matches_limits(a.limits, b.limits) and self._same_val(a.element, b.element)

    def matches_global(self, a: GlobalType, b: GlobalType) -> bool:
        """Whether a global of type ``a`` may be given where ``b`` is wanted; mutable ones are invariant."""
        if a.mutable != b.mutable:
            return False
        return self._same_val(a.value, b.value) if a.mutable else self.matches_val(a.value, b.value)

    def _same_val(self, a: ValType, b: ValType) -> bool:
        return self.matches_val(a, b) and self.matches_val(b, a)

    def top(self, heap: HeapType) -> AbsHeapType:
        """The top of the hierarchy ``heap`` is in: ``func``, ``extern``, ``any`` or ``exn``."""
        return _TOP[self.kind(heap).top]

    def is_heap_ref(self, t: ValType) -> bool:
        """Is it a reference type of another hierarchy than that of functions?"""
        return isinstance(t, RefType) and self.top(t.heap) is not FUNC

    def kind(self, heap: HeapType) -> AbsHeapType:
        """``heap`` itself if it is abstract, else ``func``, ``struct`` or ``array``."""
        return _KIND[type(self._subs[heap].comp)] if isinstance(heap, int) else heap

    # -- public: across modules ----------------------------------------------------------------------------------------

    def key(self, index: int) -> bytes:
        """The type's canonical name: equal for equivalent types of any modules, and in any process."""
        return self.keys()[index]

    def keys(self) -> list[bytes]:
        """:meth:`key` of every type; not to be changed."""
        keys = self._keys
        if keys is None:
            # Two threads may do this at the same time; both come to the same keys.
            keys = self._keys = self._make_keys()
        return keys

    def ancestry(self, index: int) -> tuple[bytes, ...]:
        """The keys of the type and of all its supertypes, the type itself first."""
        chain = [self.key(index)]
        while supers := self._subs[index].supers:
            index = supers[0]
            chain.append(self.key(index))
        return tuple(chain)

    def portable(self, t: ValType) -> ValType | tuple[bool, bytes]:
        """A value type as a hashable value that means the same in every module."""
        if isinstance(t, RefType) and isinstance(t.heap, int):
            return (t.nullable, self.key(t.heap))
        return t

    def _make_keys(self) -> list[bytes]:
        keys: list[bytes] = []
        codes: dict[NumType | RefType | PackedType, bytes] = {}
        for first, count in self.module.rec_groups:
            if not count:
                continue
            found = self._canon[first]
            if found != first:
                keys.extend(keys[found : found + count])
                continue
            parts: list[bytes] = []
            for index in range(first, first + count):
                self._encode(index, first, keys, codes, parts)
            digest = blake2b(b"".join(parts), digest_size=24).digest()
            keys.extend([digest + i.to_bytes(4, "little") for i in range(count)])
        return keys

    def _encode(
        self,
        index: int,
        first: int,
        keys: list[bytes],
        codes: dict[NumType | RefType | PackedType, bytes],
        parts: list[bytes],
    ) -> None:
        """Append one type's unambiguous encoding; other groups' types stand in it by their keys."""
        sub = self._subs[index]
        comp = sub.comp
        parts.append(b"%d,%d," % (sub.final, len(sub.supers)))
        for parent in sub.supers:
            parts.append(_encoded_index(parent, first, keys))
        if isinstance(comp, FuncType):
            parts.append(b"f%d,%d;" % (len(comp.params), len(comp.results)))
            storages: list[NumType | RefType | PackedType] = [*comp.params, *comp.results]
        else:
            fields = comp.fields if isinstance(comp, StructType) else (comp.field,)
            parts.append(b"%c%d;" % (b"s" if isinstance(comp, StructType) else b"a", len(fields)))
            parts.append(bytes([field.mutable for field in fields]))
            storages = [field.storage for field in fields]
        for t in storages:
            code = codes.get(t)
            if code is None:
                if isinstance(t, RefType) and isinstance(t.heap, int):
                    parts.append(b"N" if t.nullable else b"R")
                    code = _encoded_index(t.heap, first, keys)
                else:
                    code = codes[t] = _encoded_val(t)
            parts.append(code)


def _encoded_val(t: NumType | RefType | PackedType) -> bytes:
    if isinstance(t, RefType):
        assert isinstance(t.heap, AbsHeapType)
        return b"%c%c" % (b"n" if t.nullable else b"r", t.heap.code)
    return b"v%c" % t.code


def _encoded_index(index: int, first: int, keys: list[bytes]) -> bytes:
    """Inside the group that begins at ``first``: the position in it."""
    return b"<" + keys[index] if index < first else b">" + (index - first).to_bytes(4, "little")


def link_matches_heap(a: HeapType, in_a: TypeContext, b: HeapType, in_b: TypeContext) -> bool:
    """:meth:`TypeContext.matches_heap` for types of two modules."""
    if isinstance(b, int):
        if isinstance(a, int):
            return in_b.key(b) in in_a.ancestry(a)
        return a is _BOTTOM[in_b.kind(b)]
    return b in _SUPERTYPES[in_a.kind(a)]


def link_matches_val(a: ValType, in_a: TypeContext, b: ValType, in_b: TypeContext) -> bool:
    """:meth:`TypeContext.matches_val` for types of two modules."""
    if isinstance(a, RefType) and isinstance(b, RefType):
        return (b.nullable or not a.nullable) and link_matches_heap(a.heap, in_a, b.heap, in_b)
    return a is b


def link_same_val(a: ValType, in_a: TypeContext, b: ValType, in_b: TypeContext) -> bool:
    """Whether two value types of two modules are equivalent."""
    return in_a.portable(a) == in_b.portable(b)


def link_matches_table(a: TableType, in_a: TypeContext, b: TableType, in_b: TypeContext) -> bool:
    """Whether a table of type ``a`` may be given for an import of type ``b``."""
    return matches_limits(a.limits, b.limits) and link_same_val(a.element, in_a, b.element, in_b)


def link_matches_global(a: GlobalType, in_a: TypeContext, b: GlobalType, in_b: TypeContext) -> bool:
    """Whether a global of type ``a`` may be given for an import of type ``b``."""
    if a.mutable != b.mutable:
        return False
    if a.mutable:
        return link_same_val(a.value, in_a, b.value, in_b)
    return link_matches_val(a.value, in_a, b.value, in_b)
