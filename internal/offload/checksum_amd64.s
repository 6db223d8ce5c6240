//go:build !purego

#include "textflag.h"

// func sumBlocks(p *byte, n int) uint64
//
// Halves of words of 64 bits are added up in lanes of 64 bits, where they carry
// nothing away. Four sums are under way side by side.
TEXT ·sumBlocks(SB), NOSPLIT, $0-24
	MOVQ     p+0(FP), SI
	MOVQ     n+8(FP), CX
	VPXOR    Y0, Y0, Y0
	VPXOR    Y1, Y1, Y1
	VPXOR    Y2, Y2, Y2
	VPXOR    Y3, Y3, Y3
	VPCMPEQD Y8, Y8, Y8
	VPSRLQ   $32, Y8, Y8 // what takes the low half

block:
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	VPAND   Y8, Y4, Y6
	VPAND   Y8, Y5, Y7
	VPSRLQ  $32, Y4, Y4
	VPSRLQ  $32, Y5, Y5
	VPADDQ  Y6, Y0, Y0
	VPADDQ  Y7, Y1, Y1
	VPADDQ  Y4, Y2, Y2
	VPADDQ  Y5, Y3, Y3
	ADDQ    $64, SI
	SUBQ    $64, CX
	JNZ     block

	VPADDQ       Y1, Y0, Y0
	VPADDQ       Y3, Y2, Y2
	VPADDQ       Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ       X1, X0, X0
	VPSRLDQ      $8, X0, X1
	VPADDQ       X1, X0, X0
	VMOVQ        X0, AX
	VZEROUPPER
	MOVQ         AX, ret+16(FP)
	RET

// func prefetch(p *byte, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX

line:
	PREFETCHT0 (SI)
	ADDQ       $64, SI
	SUBQ       $64, CX
	JGT        line
	RET
