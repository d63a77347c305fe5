/**
 * A gateway node that is an exit too (06-service-providers §9): a network requester in the node's own process, a client of the node
 * without a websocket between them. The node tells directories of it for as long as it serves, and not before: an exit that cannot
 * have its policy is none.
 */
import { type Client, type ConnectOptions, connect } from '@mixwright/client'
import { BUILD_INFORMATION, type Node } from '@mixwright/node'
import { type Clock, type Logger, type MemoryMetrics, RealClock, silentLogger, sleep } from '@mixwright/runtime'
import { NetworkRequester, type NetworkRequesterOptions } from '../network-requester/requester.js'

/** What `connect` takes, but for the way to the gateway, and what the requester takes. */
export interface ExitNodeOptions
  extends Omit<ConnectOptions, 'door' | 'gateway' | 'replaceGatewayAfterMs' | 'constantLoops'>,
    Pick<NetworkRequesterOptions, 'policy' | 'allowLocalIps' | 'limits' | 'description' | 'resolve' | 'dial'> {
  readonly node: Node
  readonly metrics: MemoryMetrics
  readonly clock?: Clock
  readonly logger?: Logger
}

/** At the end: to tell clients that their connections end, and for that to leave, milliseconds. */
const FAREWELL_MS = 300
const FLUSH_MS = 300

export class ExitNode {
  /** Of the requester: `identity.encryption@gateway`. */
  readonly address: string
  readonly requester: NetworkRequester
  readonly #client: Client
  readonly #node: Node
  readonly #clock: Clock

  private constructor(node: Node, client: Client, requester: NetworkRequester, clock: Clock) {
    this.#node = node
    this.#client = client
    this.#clock = clock
    this.requester = requester
    this.address = client.address
    const { policy } = requester
    node.carry({
      address: this.address,
      exitPolicy: () => ({ upstream: policy.upstream, lastUpdated: policy.lastUpdated, policy: policy.current }),
    })
  }

  /**
   * Start; needs a network that can be routed. The signal gives up, and ends it later. Errors: those of `connect`,
   * `MIX_EXIT_POLICY_UNAVAILABLE`; nothing is left open then.
   */
  static async start(options: ExitNodeOptions): Promise<ExitNode> {
    const { node, policy, allowLocalIps, limits, description, resolve, dial, metrics, ...connectOptions } = options
    const { clock = new RealClock(), logger = silentLogger, profile = 'no-cover', signal } = options
    const client = await connect({ ...connectOptions, profile, door: (identity) => node.localDoor(identity) })
    try {
      const requester = await NetworkRequester.start({
        client,
        clock,
        logger,
        metrics,
        policy,
        buildInformation: { ...BUILD_INFORMATION, binary_name: 'nym-network-requester' },
        ...(signal !== undefined && { signal }),
        ...(allowLocalIps !== undefined && { allowLocalIps }),
        ...(limits !== undefined && { limits }),
        ...(description !== undefined && { description }),
        ...(resolve !== undefined && { resolve }),
        ...(dial !== undefined && { dial }),
      })
      return new ExitNode(node, client, requester, clock)
    } catch (error) {
      await client.close({ flushMs: 0 })
      throw error
    }
  }

  /** Tell directories that it is an exit no more, end all connections, release everything, in less than a second; the node goes on. */
  async close(): Promise<void> {
    this.#node.carry(undefined)
    await Promise.race([this.requester.close(), sleep(this.#clock, FAREWELL_MS)])
    await this.#client.close({ flushMs: FLUSH_MS })
  }
}
