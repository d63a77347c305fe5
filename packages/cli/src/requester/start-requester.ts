/** From the options of the command line to a running requester: the one place that knows how a requester is started. */
import type { Client } from '@mixwright/client'
import { BUILD_INFORMATION } from '@mixwright/node'
import { type Clock, type Logger, MemoryMetrics, MixError, sleep } from '@mixwright/runtime'
import {
  clientHealth,
  type ExitPolicyChoice,
  HealthEndpoint,
  NetworkRequester,
  recordClient,
} from '@mixwright/services'
import { connectClient } from '../client/connect-client.js'
import type { DataHome } from '../data-home.js'
import { storeFileOf } from './requester-facts.js'
import type { RequesterOptions } from './requester-options.js'

/** At the end: to tell clients that their connections end, and for that to leave, milliseconds. */
const FAREWELL_MS = 300
const FLUSH_MS = 300

export interface RunningRequester {
  /** `http://host:port`, or null. */
  readonly healthUrl: string | null
  /** Takes less than a second. */
  close(): Promise<void>
}

export interface StartDetails {
  readonly policy: ExitPolicyChoice
  readonly clock: Clock
  readonly logger: Logger
  /** Resolves when starting is to be given up; means nothing after that. */
  readonly stop: Promise<void>
}

/**
 * Start. Errors: those of `sqlStore`, `connect` and `NetworkRequester.start`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`;
 * `MIX_INTERRUPTED` after `stop`.
 */
export async function startRequester(
  home: DataHome,
  options: RequesterOptions,
  { policy, clock, logger, stop }: StartDetails,
): Promise<RunningRequester> {
  const client = await connectClient({ storeFile: storeFileOf(home) }, options, { stop, logger })
  const metrics = new MemoryMetrics()
  const startedMs = clock.monotonic()
  let requester: NetworkRequester | undefined
  try {
    const { connectionsPerClient, connections, connecting, allowLocalIps, description, host, healthPort } = options
    const starting = NetworkRequester.start({
      client,
      clock,
      logger,
      metrics,
      policy,
      allowLocalIps,
      limits: { connectionsPerClient, connections, connecting },
      buildInformation: { ...BUILD_INFORMATION, binary_name: 'nym-network-requester' },
      ...(description !== undefined && { description }),
    })
    requester = await Promise.race([starting, stop.then(() => undefined)])
    if (requester === undefined) {
      // A policy that never comes: nobody waits for it.
      starting.then((late) => late.close()).catch(() => {})
      throw new MixError('MIX_INTERRUPTED', 'Interrupted before it was ready.', { kind: 'local', retry: true })
    }
    const running = requester
    const endpoint =
      healthPort === undefined
        ? undefined
        : await HealthEndpoint.start({
            listen: { host, port: healthPort },
            health: () => ({
              ...clientHealth(client.status()),
              uptimeMs: Math.round(clock.monotonic() - startedMs),
              openProxy: running.policy.isOpen,
              connections: running.connections,
            }),
            metrics: () => {
              recordClient(metrics, client.status())
              return metrics
            },
          })
    return {
      healthUrl: endpoint?.url ?? null,
      async close() {
        await endpoint?.close()
        await end(client, running, clock)
      },
    }
  } catch (error) {
    await end(client, requester, clock)
    throw error
  }
}

async function end(client: Client, requester: NetworkRequester | undefined, clock: Clock): Promise<void> {
  if (requester) await Promise.race([requester.close(), sleep(clock, FAREWELL_MS)])
  await client.close({ flushMs: requester ? FLUSH_MS : 0 })
}
