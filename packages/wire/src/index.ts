// mix: frames between nodes and what they carry

// addresses and gateway messages
export { decodeBase58, encodeBase58 } from './base58.js'
// what clients say to each other
export { ACK_MESSAGE_BYTES, openAck, sealAck } from './client/ack.js'
export { ChunkedMessage, requiredFragments, unpadMessage } from './client/chunking.js'
export {
  COVER_FRAGMENT_IDENTIFIER,
  decodeFragment,
  decodeFragmentIdentifier,
  drawSetId,
  encodeFragmentIdentifier,
  type Fragment,
  type FragmentIdentifier,
  writeFragmentHeader,
} from './client/fragment.js'
export {
  decodeNymMessage,
  encodeNymMessage,
  formatSenderTag,
  type NymMessage,
  parseSenderTag,
  type RepliableContent,
  type ReplyContent,
  SENDER_TAG_BYTES,
} from './client/nym-message.js'
export {
  COVER_CONTENT,
  deriveFragmentKey,
  encodePacketPlaintext,
  fragmentSpace,
  isCover,
  KEY_FIELD_BYTES,
  replyKeyDigest,
  splitPushedMessage,
} from './client/packet-plaintext.js'
export {
  decodeReplySurb,
  decodeReplySurbs,
  decodeReplySurbsV1,
  encodeReplySurb,
  encodeReplySurbs,
  type LeadingReplySurbs,
  REPLY_KEY_BYTES,
  type ReplySurb,
  type ReplySurbs,
} from './client/reply-surb.js'
export { decodeSdkPayload, encodeSdkPayload, type SdkPayload } from './client/sdk-payload.js'
// the network document of several directory authorities
export {
  type AuthoritySignature,
  type DocumentSignature,
  documentKind,
  documentSignatureSchema,
  signHash,
  verifyHash,
} from './consensus/authority-signature.js'
export { canonicalJson, parseCanonical } from './consensus/canonical-json.js'
export {
  CONSENSUS_PATH,
  ConsensusSource,
  type ConsensusSourceOptions,
  checkAuthorities,
} from './consensus/consensus-source.js'
export { epochInUse, hasKeyOf, rewardedSetOf, rotationScheduleOf, skimmedNode } from './consensus/document-views.js'
export {
  type ConsensusNode,
  type DocumentLink,
  documentHash,
  FULL_SCORE,
  identityOf,
  isGateway,
  isRoutable,
  MAX_DOCUMENT_BYTES,
  MAX_LISTED_NODES,
  type NetworkDocument,
  type NodeDescriptor,
  networkDocumentSchema,
  nodeDescriptorSchema,
  type Schedule,
  scheduledEpoch,
  scheduledRotation,
  scheduledStartMs,
  textHash,
} from './consensus/network-document.js'
export {
  type Consensus,
  consensusSchema,
  DocumentChain,
  type DocumentRefusal,
  defaultThreshold,
  GRACE_EPOCHS,
  MAX_CONSENSUS_BYTES,
  majority,
  type VerifiedDocument,
  verifyConsensus,
} from './consensus/verified-document.js'
export {
  type CheckedVote,
  checkVote,
  isFairDescriptor,
  type SignedVote,
  signedVoteSchema,
  signVote,
  type Vote,
  type VotedNode,
  withReceipts,
} from './consensus/vote.js'
// directory documents
export { documentError, type Fetch, fetchBytes, fetchJson, unreachableError } from './directory/bounded-json.js'
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
export { type NodeRefresh, nodeRefreshSchema, nodeRefreshText } from './directory/node-refresh.js'
export { formatPerformance, performancePercent } from './directory/performance.js'
export { fromBincode, fromJson, type Schema, toBincode, type ValueOf } from './directory/schema.js'
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
export { type ClientRequest, encodeClientRequest } from './gateway/client-request.js'
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
  EMBEDDED_KEY_ROTATION,
  handshakeProtocol,
  registeredProtocol,
} from './gateway/protocol-version.js'
export { encodeServerResponse, parseServerResponse, type ServerResponse } from './gateway/server-response.js'
export {
  deriveSharedKey,
  HANDSHAKE_SALT_BYTES,
  NONCE_BYTES,
  open,
  SHARED_KEY_BYTES,
  seal,
} from './gateway/shared-key.js'
export {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameError,
  type FrameVersion,
  frameHeader,
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
export {
  encodeNoiseFrame,
  MAX_NOISE_HANDSHAKE_BYTES,
  MAX_NOISE_PLAINTEXT_BYTES,
  NOISE_HEADER_BYTES,
  NOISE_TAG_BYTES,
  NOISE_VERSION,
  NoiseFrameDecoder,
  type NoiseFrameError,
  type NoiseFrameType,
  writeNoiseHeader,
} from './mix/noise-frame.js'
export { ACK_PACKET_BYTES, encodeSurbAck, SURB_ACK_BYTES, type SurbAck, splitSurbAck } from './mix/surb-ack.js'
export { answerVerlocEcho, encodeVerlocEcho, VERLOC_ECHO_BYTES, VERLOC_REPLY_BYTES } from './mix/verloc.js'
// service providers: socks5 over the mixnet, streams
export type { ControlRequest, ControlResponse } from './provider/control.js'
export { CREDIT_STEP_BYTES, CREDIT_WINDOW_BYTES, RESET_CREDIT } from './provider/credit.js'
export {
  type ExitPolicy,
  type ExitPolicyRule,
  evaluateExitPolicy,
  exitPolicyFromJson,
  exitPolicyJson,
  exitPolicySchema,
  formatExitPolicy,
  parseExitPolicy,
} from './provider/exit-policy.js'
export { isGloballyRoutable } from './provider/globally-routable.js'
export { OrderedBuffer, type OrderedRead, type OrderedWrite } from './provider/ordered-buffer.js'
export { decodeProviderRequest, encodeProviderRequest, type ProviderRequest } from './provider/provider-request.js'
export {
  decodeProviderResponse,
  encodeProviderResponse,
  type ProviderResponse,
  type QueryAnswer,
} from './provider/provider-response.js'
export {
  CURRENT_VERSIONS,
  type MalformedMessage,
  type ProviderVersion,
  type ProviderVersions,
} from './provider/provider-version.js'
export { joinRemote, splitRemote } from './provider/remote.js'
export { decodeStreamFrame, encodeStreamFrame, STREAM_FRAME_TYPES, type StreamFrame } from './provider/stream-frame.js'
export {
  decodeTcpProxyMessage,
  encodeTcpProxyMessage,
  type TcpProxyMessage,
} from './provider/tcp-proxy-message.js'
export {
  decodeRecipient,
  encodeRecipient,
  formatRecipient,
  type PointCheck,
  parseRecipient,
  RECIPIENT_BYTES,
  type Recipient,
} from './recipient.js'
// the local websocket between apps and a client
export { type ApiError, type ApiErrorKind, apiError } from './websocket-api/api-error.js'
export type { Receipt, ReceiptState } from './websocket-api/receipt.js'
export {
  decodeWebsocketRequest,
  encodeWebsocketRequest,
  formatWebsocketRequest,
  parseWebsocketRequest,
  type WebsocketRequest,
} from './websocket-api/request.js'
export {
  decodeWebsocketResponse,
  encodeWebsocketResponse,
  formatWebsocketResponse,
  parseWebsocketResponse,
  type WebsocketResponse,
} from './websocket-api/response.js'
