// mix: frames between nodes and what they carry

// addresses and gateway messages
export { decodeBase58, encodeBase58 } from './base58.js'
// directory documents
export * from './directory/documents.js'
export {
  type HostInformation,
  hostInformationText,
  legacyTexts,
  parseHostInformation,
  type SignedHostInformation,
  signedHostInformationSchema,
  signHostInformation,
  verifyHostInformation,
} from './directory/host-information.js'
export {
  type KeyRotationState,
  nextRotationStart,
  rotationIdAt,
  rotationStart,
} from './directory/key-rotation-state.js'
export { formatPerformance, performancePercent } from './directory/performance.js'
export { fromBincode, fromJson, type Schema, toBincode } from './directory/schema.js'
export { formatHumanTime, formatRfc3339, parseHumanTime, parseRfc3339 } from './directory/timestamp.js'
export {
  type Authentication,
  authenticationSignedBytes,
  provesSharedKey,
} from './gateway/authentication.js'
export {
  FORWARD_SPHINX,
  FORWARD_SPHINX_V2,
  MAX_BINARY_BYTES,
  type OpenedBinaryFrame,
  openBinaryFrame,
  PUSHED_MIX_MESSAGE,
  sealBinaryFrame,
} from './gateway/binary-frame.js'
export {
  type ClientRequest,
  decodeLegacyAuthentication,
  encodeClientRequest,
  parseClientRequest,
  parseSensitiveRequest,
  type SensitiveRequest,
} from './gateway/client-request.js'
export {
  decodeGatewayMaterial,
  decodeHandshakeInit,
  encodeGatewayMaterial,
  encodeHandshakeInit,
  HANDSHAKE_DONE,
  type HandshakeInit,
  handshakeSignedBytes,
  openSignature,
  sealSignature,
} from './gateway/handshake.js'
export {
  AUTHENTICATE_V2,
  authenticatedProtocol,
  CURRENT_PROTOCOL,
  handshakeProtocol,
  registeredProtocol,
} from './gateway/protocol-version.js'
export { encodeServerResponse, parseServerResponse, type ServerResponse } from './gateway/server-response.js'
export { deriveSharedKey, NONCE_BYTES, open, seal } from './gateway/shared-key.js'
export {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameError,
  type FrameVersion,
  MAX_FRAME_BYTES,
} from './mix/frame.js'
export {
  EVEN_ROTATION,
  isKeyRotation,
  type KeyRotation,
  LEGACY_ROTATION_ID,
  ODD_ROTATION,
  rotationOfId,
  UNKNOWN_ROTATION,
} from './mix/key-rotation.js'
export {
  type DecodedMixPacket,
  decodeMixPacket,
  encodeMixPacket,
  type MixPacket,
  type MixPacketError,
  type MixPacketVersion,
} from './mix/mix-packet.js'
export { ACK_PACKET_BYTES, encodeSurbAck, SURB_ACK_BYTES, type SurbAck, splitSurbAck } from './mix/surb-ack.js'
export {
  decodeRecipient,
  encodeRecipient,
  formatRecipient,
  type PointCheck,
  parseRecipient,
  RECIPIENT_BYTES,
  type Recipient,
} from './recipient.js'
