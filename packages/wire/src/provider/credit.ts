/**
 * Credit between our own peers: "of this connection I take data up to this many bytes in all". It travels under a flag of the SOCKS5
 * provider protocol that official requesters do not know, and drop (06-service-providers §2.2); ours answers with its own, and from
 * then on neither side sends what the other has no room for.
 */

/** What may be under way in one direction of a connection, bytes. */
export const CREDIT_WINDOW_BYTES = 1_048_576
/** So many bytes taken are worth a new credit. */
export const CREDIT_STEP_BYTES = 65_536
/** In the place of a limit: nothing is taken any more, the connection is over. */
export const RESET_CREDIT = 2n ** 64n - 1n
