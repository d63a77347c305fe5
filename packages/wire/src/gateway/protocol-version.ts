/** Versions of the client–gateway protocol and what our gateway answers to each proposal (02-gateway §2). */

/** The newest version we speak: what `supportedProtocol` announces. */
export const CURRENT_PROTOCOL = 6
/** First version with `ForwardSphinxV2` and its rotation byte. */
export const EMBEDDED_KEY_ROTATION = 5
/** First version with signed, timestamped authentication. */
export const AUTHENTICATE_V2 = 4
/** First version whose shared key is AES-256-GCM-SIV: the constant proposal of the WASM client. */
export const AES_GCM_SIV = 3

/** For `protocol_version` of handshake payloads: the proposal, at most ours. */
export function handshakeProtocol(proposed: number): number {
  return Math.min(proposed, CURRENT_PROTOCOL)
}

/**
 * For `register`: the proposal, at most ours; but 3 and 4 are raised to 5, so that a WASM client sends key rotations and
 * reconnects with a signed authentication (02-gateway §2.2 rule 3).
 */
export function registeredProtocol(proposed: number): number {
  if (proposed === AES_GCM_SIV || proposed === AUTHENTICATE_V2) return EMBEDDED_KEY_ROTATION
  return handshakeProtocol(proposed)
}

/** For `authenticate`: as for `register`; undefined when the proposal is too old to be answered. */
export function authenticatedProtocol(proposed: number): number | undefined {
  return proposed < AUTHENTICATE_V2 ? undefined : registeredProtocol(proposed)
}
