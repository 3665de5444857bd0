"""The reader of SASS listings."""

from __future__ import annotations

from tools import sass

LISTING = """
Fatbin elf code:
================
arch = sm_90
	code for sm_80
		Function : row_fft
	.headerflags	@"EF_CUDA_SM80"
        /*0000*/                   MOV R1, c[0x0][0x28] ;      /* 0x00000a0000017a02 */
                                                               /* 0x000fe40000000f00 */
        /*0010*/              @!P0 LDG.E R3, [R4.64+0x4] ;     /* 0x0000000000000000 */
	code for sm_90
		Function : add_chunks
        /*0000*/                   EXIT ;                      /* 0x000000000000794d */
		Function : row_fft
        /*0000*/                   PREEXIT ;                   /* 0x000000000000782d */
        /*0010*/                   ACQBULK ;                   /* 0x000000000000782e */
"""


def test_listings_are_read_by_architecture_and_function() -> None:
    found = sass.parse(LISTING)
    assert found.keys() == {("80", "row_fft"), ("90", "add_chunks"), ("90", "row_fft")}
    assert found["80", "row_fft"] == ["MOV R1, c[0x0][0x28]", "@!P0 LDG.E R3, [R4.64+0x4]"]
    assert found["90", "add_chunks"] == ["EXIT"]


def test_kernels_that_overlap_let_the_next_one_start_and_wait() -> None:
    found = sass.parse(LISTING)
    assert sass.overlaps(found["90", "row_fft"])
    assert not sass.overlaps(found["80", "row_fft"])
    assert not sass.overlaps(found["90", "row_fft"][:1])


def test_a_wait_ends_all_loads_before_it() -> None:
    listing = [
        "LDG.E.128 R4, [R2.64]",
        "LDG.E R8, [R2.64+0x10]",
        "@P0 FADD R9, R7, R1",  # R7 belongs to the first load
        "LDG.E.64 R4, [R2.64]",
        "FADD R9, R8, R1",  # has arrived
        "FADD R9, R5, R1",
        "STG.E [R2.64], R9",
    ]
    assert sass.waits(listing, at_least=1) == 2
    assert sass.waits(listing, at_least=2) == 1
    assert sass.waits(listing, at_least=3) == 0
