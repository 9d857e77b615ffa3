// Level: whatever the compiler's baseline is (SSE2 on x86-64, NEON on aarch64).
#include <math.h>
#include <string.h>

#include "ckernels.h"

#define LEVEL_NAME portable
#define LEVEL_LANES 4
#if defined(__aarch64__)
#define PANEL_ROWS 12
#else
#define PANEL_ROWS 6
#endif
#include "families/level.inc"
