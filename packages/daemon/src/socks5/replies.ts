/**
 * Replies of the SOCKS door. The bound address is always 127.0.0.1:0, as in the official local proxy (06-service-providers
 * §2.7): nobody here knows the exit's.
 */

export type SocksVersion = 4 | 5

/** Reply codes of RFC 1928 §6 that the door itself gives; those of the exit's failures are in `exit-answers.ts`. */
export const SOCKS5_REPLIES = {
  succeeded: 0x00,
  generalFailure: 0x01,
  commandNotSupported: 0x07,
  addressTypeNotSupported: 0x08,
} as const

/** 10 bytes. */
export function socks5Reply(code: number): Uint8Array {
  return Uint8Array.of(5, code, 0, 1, 127, 0, 0, 1, 0, 0)
}

/** 8 bytes: granted, or rejected. */
export function socks4Reply(granted: boolean): Uint8Array {
  return Uint8Array.of(0, granted ? 0x5a : 0x5b, 0, 0, 127, 0, 0, 1)
}

/** In the words of the app's version; code 0 is success. */
export function socksReply(version: SocksVersion, code: number): Uint8Array {
  return version === 5 ? socks5Reply(code) : socks4Reply(code === SOCKS5_REPLIES.succeeded)
}
