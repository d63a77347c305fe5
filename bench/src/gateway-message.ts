/** What a gateway under test delivers: number (4 bytes), time of delivery (8 bytes, nanoseconds, monotonic), zeros. */

/** The usual length of what a client gets, one regular packet's worth. */
export const MESSAGE_BYTES = 1643
