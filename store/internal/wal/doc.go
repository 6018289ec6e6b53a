// Package wal keeps byte strings on disk: in frames, and in a log of frames that
// survives crashes. It knows nothing of what they mean.
//
// # Frames
//
// A file is one header line and frames. A frame is 12 bytes and a payload: the
// payload's length and its CRC-32C, then the CRC-32C of these two, little-endian.
// The 12 bytes have a checksum of their own because a damaged length must not
// pass for the end of a file: everything behind it would be dropped. [Frames]
// reads them, and tells a file that a crash has cut ([ErrTorn]) from a file that
// is damaged ([DamageError]).
//
// # The log
//
// A [Log] is a directory of segments, files of increasing numbers. What is
// appended goes into the last. It promises:
//
//   - What was appended is on disk when Append returns, and Replay finds it after
//     any crash, in the order of the Appends.
//   - What was refused is not in the log. One exception: what stood in the file
//     when an fsync failed, or when the process died in Append, may be found later.
//   - A crash costs nothing but the Append that it interrupts. A flipped bit, a
//     hole or a file that is missing is an error that names the place; a damaged
//     payload is never replayed.
//   - A disk that is full is a state, not an end: Append fails with [ErrNotWritten]
//     until there is room, and then succeeds.
//   - A failed fsync is the end: what the kernel did with pages that it failed to
//     write is anybody's guess (the lesson of PostgreSQL's "fsyncgate"), so
//     nothing is acknowledged after it until the log is opened again.
//
// # Seals
//
// From a file alone, damage to its last frame looks like a crash. So a segment
// that is left behind, by Rotate or by Close, ends in a seal: an empty frame, after
// which nothing is ever written to it. Only in a last segment without a seal is
// there a doubt about the end, and there it is about one frame. It is dropped if it
// is not whole: then it was never acknowledged, or damaged after it was.
//
// # Zeros
//
// The last segment is filled with zeros ahead of its frames, because writing over
// them is what a disk does fastest. A seal cuts them off.
package wal
