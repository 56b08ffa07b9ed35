"""What went wrong in other engines, and here, by class: which of our tests would see it, or why it cannot happen here.

Numbers 1 to 57 are those of ``wasmtime.md`` 2.4 (parts A to F), which names the advisories; those after are ours.
``python -m tests.escape.advisories docs/advisories.md`` renews the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from wardian.pages import renew, table

LAST: Final = 57


class Row(NamedTuple):
    """``tests`` are node ids below ``tests/`` without parameters; without any, ``reason`` says why there is none."""

    number: int
    what: str
    tests: tuple[str, ...] = ()
    reason: str = ""


PARTS: Final = (
    ("Computing addresses, compiling", 1),
    ("Allocating, and using again", 15),
    ("References, types, stores", 21),
    ("Files", 34),
    ("Resources of the host", 43),
    ("Components and HTTP", 51),
    ("Found in this engine", LAST + 1),
)
"""Titles, and the number each begins with."""

_NO_COMPONENTS: Final = "there is no component model: a component is refused by its header"
_NO_HTTP: Final = "there is no HTTP, and no socket but those the embedder has opened and granted"

_MEMORY: Final = "escape/test_memory.py::"
_TABLES: Final = "escape/test_tables.py::"
_WIDE: Final = "escape/test_wide_tables.py::"
_STORES: Final = "escape/test_stores.py::"
_STRANGERS: Final = "escape/test_strangers.py::"
_FILES: Final = "escape/test_files.py::"
_HUGE: Final = "escape/test_huge_calls.py::test_no_call_takes_more_than_it_needs"
_ZEAL: Final = "compile/test_gc_zeal.py::test_every_allocation_collects"
_HEAP: Final = "runtime/test_heap.py::"
_REFUSED: Final = "binary/test_decode.py::test_components_are_recognised"

ROWS: Final = (
    Row(1, "an address reloaded from the stack with the wrong extension", (
        f"{_MEMORY}test_results_of_grow_and_size_as_addresses", f"{_MEMORY}test_address_folding")),
    Row(2, "a shift folded into an address keeps bits that should have been dropped", (
        f"{_MEMORY}test_address_folding", f"{_MEMORY}test_offsets_around_the_guard_and_the_end_of_32_bits")),
    Row(3, "an index of one width folded as if it had the other", (
        f"{_MEMORY}test_address_folding", f"{_MEMORY}test_64_bit_memories")),
    Row(4, "the upper half of a 32-bit index is not cleared", (
        f"{_MEMORY}test_address_folding", f"{_MEMORY}test_results_of_grow_and_size_as_addresses",
        "escape/test_stencils.py::test_a_comparison_knows_the_offset_that_is_added")),
    Row(5, "the -1 of a failed growth is used as a 64-bit address", (
        f"{_MEMORY}test_results_of_grow_and_size_as_addresses",)),
    Row(6, "a 64-bit table's size or index taken for 32 bits", (
        f"{_WIDE}test_all_bits_of_an_index_count", f"{_WIDE}test_growth_counts_in_64_bits")),
    Row(7, "a load fused with an operation reads more than its width", (
        f"{_MEMORY}test_a_folded_load_reads_no_more_than_its_width",
        "compile/test_simd_memory.py::test_fused_loads_keep_their_width")),
    Row(8, "the same for a load that is splatted", (
        "compile/test_simd_memory.py::test_fused_loads_keep_their_width",
        "compile/test_simd_memory.py::test_the_end_of_memory")),
    Row(9, "a vector shift by a constant beyond the lane", ("escape/test_vectors.py::test_shifts",)),
    Row(10, "a vector selection whose operands are the same", (
        "escape/test_vectors.py::test_selections",
        "compile/test_simd_differential.py::test_everything_else_with_constants")),
    Row(11, "division by constants, swizzles by constants", (
        "escape/test_constants.py::test_integers", "escape/test_vectors.py::test_selections")),
    Row(12, "functions so large that the compiler's own numbers overflow", ("escape/test_limits.py::test_limit",)),
    Row(13, "large branch tables lead to the wrong place", (
        "escape/test_branch_tables.py::test_every_index_finds_its_arm", "escape/test_limits.py::test_limit")),
    Row(14, "the optimiser is told that memory does not change, and it does", (
        "spec/test_spec.py::test_script", f"{_TABLES}test_grow_in_a_signal_handler",
        "escape/test_hosts.py::test_entering_again", "fuzz/test_differential.py::test_engines_agree_on_a_fixed_seed")),
    Row(15, "a memory without pages lacks its guard", (f"{_MEMORY}test_a_memory_of_no_pages",)),
    Row(16, "a new memory shows what another guest left", (
        f"{_MEMORY}test_released_memory_is_never_seen_again", "escape/test_pool.py::test_nothing_of_the_state_is_left",
        "escape/test_released.py::test_released_pages_are_gone")),
    Row(17, "used again, a memory reaches as far as its last user's", (
        f"{_MEMORY}test_released_memory_is_never_seen_again",
        "runtime/test_prepared.py::test_memory_is_used_again_and_new",
        "escape/test_released.py::test_what_is_behind_is_inaccessible_again")),
    Row(18, "instantiation that fails half way", (
        "escape/test_lifetimes.py::test_failed_instantiations", "escape/test_faults.py::test_every_failure_is_clean")),
    Row(19, "sizes that overflow when they are multiplied", (
        f"{_WIDE}test_absurd_sizes_are_refused", f"{_TABLES}test_absurd_tables_are_refused",
        f"{_MEMORY}test_absurd_memories_are_refused")),
    Row(20, "a shared memory handed out as if nobody else could change it", (
        "runtime/test_threads.py::test_shared_and_unshared_do_not_link",
        "runtime/test_threads.py::test_growth_is_visible_to_all",
        "runtime/test_threads.py::test_a_racing_index_stays_inside")),
    Row(21, "a reference in a frame is not seen by the collector", (
        _ZEAL, f"{_HEAP}test_what_only_a_frame_holds_survives",
        "compile/test_baseline.py::test_the_collector_finds_references_in_frames")),
    Row(22, "references among many parameters are not all seen", (
        _ZEAL, "compile/test_parameters.py::test_parameters_arrive")),
    Row(23, "references at calls that are seldom reached", (
        _ZEAL, "compile/test_gc.py::test_binary_trees_collecting_always")),
    Row(24, "frames with references are described wrongly", (
        _ZEAL, f"{_HEAP}test_what_only_a_frame_holds_survives")),
    Row(25, "references live across a catch", (
        f"{_HEAP}test_a_pending_exception_is_a_root",
        "runtime/test_exceptions.py::test_room_for_a_payload_is_made_while_it_is_pending")),
    Row(26, "a tag imported with another type", (
        "runtime/test_exceptions.py::test_a_tag_of_another_type_is_no_import",)),
    Row(27, "a function of another store is taken for one's own", (
        f"{_STORES}test_functions_of_another_store", f"{_STRANGERS}test_objects_of_strangers_are_refused")),
    Row(28, "an object of another store is taken for one's own", (
        f"{_HEAP}test_an_object_of_another_store_is_refused", f"{_STRANGERS}test_objects_of_strangers_are_refused")),
    Row(29, "what belongs to another engine is used by this one's code", (
        f"{_STRANGERS}test_engines_share_what_is_exported", f"{_STRANGERS}test_the_owner_goes_first",
        f"{_STORES}test_imports_of_the_wrong_kind_or_type")),
    Row(30, "two threads see a type for the first time", (
        "escape/test_type_race.py::test_types_that_several_threads_see_first",)),
    Row(31, "stopped in the middle of a bulk operation, state is half changed", (
        "escape/test_stopped.py::test_what_is_left_is_whole", "escape/test_stopped.py::test_growing_is_all_or_nothing",
        "escape/test_after_a_trap.py::test_bulk_operations_that_are_stopped")),
    Row(32, "a valid module brings the host down: null references and traps at its border", (
        "escape/test_hosts.py::test_null_references_of_every_kind_cross_the_border",
        "escape/test_hosts.py::test_a_trap_inside_a_host_functions_call", "compile/test_tail_calls.py::test_rings")),
    Row(33, "used after its owner is gone", (
        "escape/test_lifetimes.py::test_exports_outlive_their_instance_in_every_order",
        "escape/test_lifetimes.py::test_functions_in_a_table_outlive_their_module",
        f"{_STRANGERS}test_the_owner_goes_first")),
    Row(34, "a slash behind a link leads out", (
        f"{_FILES}test_slashes_after_links", "escape/test_path_race.py::test_nothing_escapes")),
    Row(35, "renaming a link with a slash behind it", (f"{_FILES}test_slashes_after_links",)),
    Row(36, "names of devices", (f"{_FILES}test_names_that_mean_something_elsewhere",)),
    Row(37, "a flag for opening changes a file that may only be read", (
        f"{_FILES}test_nothing_opens_a_read_only_file_for_change", f"{_FILES}test_a_read_only_file_stays_as_it_is")),
    Row(38, "links and renames between grants of different rights", (
        f"{_FILES}test_links_and_renames_between_grants",)),
    Row(39, "renumbering descriptors that are not there", (
        f"{_FILES}test_renumbering", "fuzz/test_targets.py::test_seeds_and_findings")),
    Row(40, "renumbering loses a descriptor of the host", (f"{_FILES}test_renumbering",)),
    Row(41, "padding in what the guest reads holds bytes of the host", (
        f"{_FILES}test_padding_of_entries", "fuzz/test_targets.py::test_seeds_and_findings")),
    Row(42, "times before 1970", (f"{_FILES}test_strange_times", "wasi/test_path.py::test_times_outside_the_range")),
    Row(43, "a length chosen by the guest decides how much the host allocates", (_HUGE,)),
    Row(44, "headers without bound", reason=_NO_HTTP),
    Row(45, "streams that are buffered without bound", (
        _HUGE, "isolation/test_codec.py::test_a_frame_beyond_the_bound_is_refused_by_its_head")),
    Row(46, "descriptors are counted for each instance only", (_HUGE,)),
    Row(47, "a host call takes memory for what it never uses", (_HUGE,)),
    Row(48, "memory is taken although there is no stream", (_HUGE, "wasi/test_fd.py::test_many_buffers_are_bounded")),
    Row(49, "a call with a million subscriptions or buffers outlives its limits", (
        _HUGE, "wasi/test_poll.py::test_a_million_subscriptions")),
    Row(50, "an asynchronous call that is dropped", (
        "escape/test_lifetimes.py::test_finalisers", "escape/test_hosts.py::test_entering_again"),
        "no call is asynchronous; what comes nearest is a guest left by an exception, or entered again"),
    Row(51, "text is transcoded beyond its buffer", (_REFUSED,), _NO_COMPONENTS),
    Row(52, "what a guest's allocator returned is not checked", (_REFUSED,), _NO_COMPONENTS),
    Row(53, "what a guest's allocator returned is not aligned", (_REFUSED,), _NO_COMPONENTS),
    Row(54, "flags with bits that no flag has", (_REFUSED,), f"{_NO_COMPONENTS}; unknown flags of WASI are EINVAL"),
    Row(55, "misuse of a component's instance brings the host down", (_REFUSED,), _NO_COMPONENTS),
    Row(56, "a callback's results are written beyond their place on the stack", (
        "escape/test_hosts.py::test_results_of_the_wrong_type", "compile/test_parameters.py::test_parameters_arrive"),
        f"{_NO_COMPONENTS}; what host functions return is counted"),
    Row(57, "requests that reach another host, timeouts, smuggled lengths, trailers, datagrams", reason=_NO_HTTP),
    Row(58, "a template of machine code with a field that is not filled in", (
        "escape/test_stencils.py::test_no_hole_is_left_empty",
        "escape/test_stencils.py::test_the_stand_in_is_never_computed_with")),
    Row(59, "a comparison reads another word than the one that counts", (
        "escape/test_stencils.py::test_a_comparison_knows_the_offset_that_is_added",
        "escape/test_branch_tables.py::test_every_index_finds_its_arm")),
    Row(60, "the row of a type was reserved and not written", (
        f"{_TABLES}test_types_without_supertypes",
        "escape/test_type_race.py::test_types_that_several_threads_see_first")),
    Row(61, "two tiers disagree about parameters on the stack", (
        "compile/test_parameters.py::test_parameters_arrive", f"{_STRANGERS}test_engines_share_what_is_exported")),
    Row(62, "a type is its own supertype, and the validator follows it for ever", (
        "valid/test_types.py::test_refused", "fuzz/test_targets.py::test_seeds_and_findings")),
    Row(63, "a page that is writable and executable, if only for a moment", (
        "escape/test_code.py::test_never_writable_and_executable", "escape/test_released.py::test_code_is_sealed")),
    Row(64, "the system refuses memory, a descriptor or a thread in the middle of something", (
        "escape/test_faults.py::test_every_failure_is_clean",)),
    Row(65, "a module chooses the hashes of its types, so that all of them collide", (
        "valid/test_types.py::test_a_module_cannot_make_its_types_collide",)),
    Row(66, "something of every module stays in the process, even of invalid ones", (
        "syntax/test_types.py::test_nothing_stays_of_types_nobody_has",
        "runtime/test_canonical.py::test_modules_that_come_and_go_leave_nothing")),
    Row(67, "a function at which LLVM ends its process, or does not come to an end", (
        "escape/test_llvm.py::test_a_chain_that_llvm_cannot_unlink",
        "escape/test_branch_tables.py::test_every_index_finds_its_arm")),
)  # fmt: skip


def _cells(rows: tuple[Row, ...]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        tests = ", ".join(f"`{test}`" for test in row.tests)
        yield str(row.number), row.what, "; ".join(filter(None, (tests, row.reason)))


def tables() -> str:
    """The generated part: a table for each part."""
    found = []
    for at, (title, first) in enumerate(PARTS):
        end = PARTS[at + 1][1] if at + 1 < len(PARTS) else len(ROWS) + 1
        rows = tuple(row for row in ROWS if first <= row.number < end)
        head = ("", "what went wrong", "what would see it here, or why it cannot be")
        found += [f"### {title}\n", table(head, _cells(rows))]
    return "\n".join(found)


if __name__ == "__main__":
    sys.exit(renew(sys.argv[1:], tables))
