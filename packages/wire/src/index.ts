// mix: frames between nodes and what they carry
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

export { decodeBase58, encodeBase58 } from './base58.js'

// addresses and gateway messages

// directory documents
