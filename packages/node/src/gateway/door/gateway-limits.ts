/** What clients may cost a gateway (02-gateway §1, §9.3): every number in one place, each with what happens at it. */

export interface GatewayLimits {
  /** Open client connections, of both listeners. Over it a TCP connection is dropped. @default 10240 */
  readonly maximumConnections: number
  /**
   * Of these, from one address: an IPv4 address or an IPv6 network of 64 bits. Over it a TCP connection is dropped. Behind a
   * reverse proxy all clients have the proxy's address: raise it there. @default 256
   */
  readonly connectionsPerAddress: number
  /**
   * Messages before authentication (a first start has six) that one address may send for long, per second. Over it, and
   * over the burst, the connection is dropped. @default 20
   */
  readonly attemptsPerAddressPerSecond: number
  /** The same, at once. @default 2000 */
  readonly attemptsPerAddressBurst: number
  /** Registrations begun from one address in an hour, as many at once. Over it: `handshakeError`. @default 600 */
  readonly registrationsPerAddressPerHour: number
  /** Addresses remembered beyond those connected; over it the one that came first is forgotten. @default 65536 */
  readonly rememberedAddresses: number
  /**
   * Messages (packets, requests, pings) that one client may send for long, per second. Over it, and over the burst, nothing
   * is read from it for a while: nothing is lost, TCP holds the client back. Official clients send 50. @default 2000
   */
  readonly messagesPerSecond: number
  /** The same, at once. @default 4000 */
  readonly messageBurst: number
  /** Unsent bytes past which a client that goes on asking without reading is dropped. @default 4194304 */
  readonly unreadBytes: number
}

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  maximumConnections: 10_240,
  connectionsPerAddress: 256,
  attemptsPerAddressPerSecond: 20,
  attemptsPerAddressBurst: 2_000,
  registrationsPerAddressPerHour: 600,
  rememberedAddresses: 65_536,
  messagesPerSecond: 2_000,
  messageBurst: 4_000,
  unreadBytes: 4 * 1024 * 1024,
}

/** For networks on one machine, where all clients share one address and may be as fast as they can. */
export const LOCAL_GATEWAY_LIMITS: Partial<GatewayLimits> = {
  connectionsPerAddress: Number.POSITIVE_INFINITY,
  attemptsPerAddressBurst: Number.POSITIVE_INFINITY,
  registrationsPerAddressPerHour: Number.POSITIVE_INFINITY,
  messageBurst: Number.POSITIVE_INFINITY,
}
