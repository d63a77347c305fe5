/**
 * Bandwidth of an open gateway (02-gateway §8.3): every client always has the same amount, and clients, which never count
 * down themselves, send for ever. Metering is not done here.
 */

/** 64 GiB, what a free claim gives on official gateways; bytes. */
export const OPEN_BANDWIDTH = 68_719_476_736
