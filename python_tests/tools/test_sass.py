"""The reader of SASS listings."""

from __future__ import annotations

import pytest

from tools import sass

LISTING = """
Fatbin elf code:
================
arch = sm_90
	code for sm_80
		Function : seq_grad
	.headerflags	@"EF_CUDA_SM80"
        /*0000*/                   MOV R1, c[0x0][0x28] ;      /* 0x00000a0000017a02 */
                                                               /* 0x000fe40000000f00 */
        /*0010*/                   LDG.E.CONSTANT R2, [R4] ;   /* 0x0000000000000000 */
        /*0020*/                   LDG.E R2, [R4.64] ;         /* 0x0000000000000000 */
        /*0030*/              @!P0 LDG.E R3, [R4.64+0x4] ;     /* 0x0000000000000000 */
        /*0040*/                   STG.E [R6.64], R2 ;         /* 0x0000000000000000 */
        /*0050*/               @P1 STG.E [R6.64+0x4], R3 ;     /* 0x0000000000000000 */
        /*0060*/                   LDG.E R2, [R4.64] ;         /* 0x0000000000000000 */
        /*0070*/                   STG.E [R6.64], R2 ;         /* 0x0000000000000000 */
        /*0080*/                   LD.E.STRONG.GPU R0, [R8] ;  /* 0x0000000000000000 */
        /*0090*/                   LDG.E R2, [R4.64] ;         /* 0x0000000000000000 */
        /*00a0*/                   STG.E [R6.64], R2 ;         /* 0x0000000000000000 */
	code for sm_90
		Function : add_chunks
        /*0000*/                   EXIT ;                      /* 0x000000000000794d */
"""


def test_listings_are_read_by_architecture_and_function() -> None:
    found = sass.parse(LISTING)
    assert found.keys() == {("80", "seq_grad"), ("90", "add_chunks")}
    listing = found["80", "seq_grad"]
    assert len(listing) == 11
    assert listing[0] == "MOV R1, c[0x0][0x28]"
    assert listing[3] == "@!P0 LDG.E R3, [R4.64+0x4]"
    assert found["90", "add_chunks"] == ["EXIT"]


def test_loads_in_flight_are_the_mean_burst_before_the_acquire_load() -> None:
    listing = sass.parse(LISTING)["80", "seq_grad"]
    assert sass.loads_in_flight(listing) == 1.5, "two loads, then one; constant loads do not count"
    with pytest.raises(SystemExit, match="code has changed"):
        sass.loads_in_flight(listing[8:])
