// Level: whatever the compiler's baseline is (SSE2 on x86-64, NEON on aarch64).
#include <math.h>
#include <string.h>

#include "ckernels.h"

#define LEVEL_NAME portable
#include "families/level.inc"
