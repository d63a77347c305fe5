/**
 * Text messages to a client (02-gateway §3.2, §3.3). Numbers are integers within 2⁵³−1, never null and never absent:
 * official clients read them as `u8` and `i64`, and one that fails to parse leaves them deaf.
 */

export type ServerResponse =
  | { readonly type: 'supportedProtocol'; readonly version: number }
  | { readonly type: 'handshakePayload'; readonly protocolVersion: number; readonly data: Uint8Array }
  | { readonly type: 'handshakeError'; readonly message: string }
  | { readonly type: 'register'; readonly protocolVersion: number }
  | { readonly type: 'authenticate'; readonly protocolVersion: number; readonly bandwidthRemaining: number }
  | { readonly type: 'bandwidth'; readonly availableTotal: number }
  | { readonly type: 'send'; readonly remainingBandwidth: number }
  | { readonly type: 'encryptedResponse'; readonly ciphertext: Uint8Array; readonly nonce: Uint8Array }
  | { readonly type: 'error'; readonly message: string }
  | { readonly type: 'typedError'; readonly outOfBandwidth: { readonly required: number; readonly available: number } }

/** The JSON text of a response, `type` first. Success is the only status ever sent: failures are errors. */
export function encodeServerResponse(response: ServerResponse): string {
  return JSON.stringify(wireForm(response))
}

function wireForm(response: ServerResponse): Record<string, unknown> {
  const { type } = response
  switch (response.type) {
    case 'supportedProtocol':
      return { type, version: response.version }
    case 'handshakePayload':
      return { type, protocol_version: response.protocolVersion, data: [...response.data] }
    case 'handshakeError':
    case 'error':
      return { type, message: response.message }
    case 'register':
      return { type, protocol_version: response.protocolVersion, status: true, upgrade_mode: false }
    case 'authenticate':
      return {
        type,
        protocol_version: response.protocolVersion,
        status: true,
        bandwidth_remaining: response.bandwidthRemaining,
        upgrade_mode: false,
      }
    case 'bandwidth':
      return { type, available_total: response.availableTotal, upgrade_mode: false }
    case 'send':
      return { type, remaining_bandwidth: response.remainingBandwidth, upgrade_mode: false }
    case 'encryptedResponse':
      return { type, ciphertext: [...response.ciphertext], nonce: [...response.nonce] }
    case 'typedError':
      return { type, error: { out_of_bandwidth: response.outOfBandwidth } }
  }
}
