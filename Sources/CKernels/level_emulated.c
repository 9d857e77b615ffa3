// Level: the kernels of the amx level with its tile instructions written out in C, so that every machine can test
// them. Slow; only taken when it is asked for.
#include <math.h>
#include <string.h>

#include "ckernels.h"

#define LEVEL_NAME emulated
#define LEVEL_LANES 4
#define PANEL_ROWS 6
#define LEVEL_BFLOAT16 EMULATED_TILES
#include "families/level.inc"
