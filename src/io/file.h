/* file: one that is read whole, at the start or by a tool; never on a loop. What the broker stores
 * goes through disk.h. */
#ifndef BOURN_IO_FILE_H
#define BOURN_IO_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Append all of it, up to out->limit. ERR_CONFIG: "path: No such file or directory". */
enum err file_read(const char *path, struct buf *out, struct fault *f) MUST_CHECK;

#endif
