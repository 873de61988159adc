/* SPDX-License-Identifier: GPL-2.0 */
/* What wake.c and coalesce.c use. */
#include "bus.h"
#include "coalesce.h"
#include "ioctl.h"
#include "sub.h"
#include "wake.h"
