/** From the options of the command line to a running node: the one place that knows how a node is started. */
import { availableParallelism } from 'node:os'
import {
  directoryNetwork,
  loadOrCreateNodeKeys,
  type NetworkSource,
  Node,
  type NodeKeys,
  Registration,
} from '@mixwright/node'
import { type Clock, type Logger, MemoryMetrics, MixError, SystemRandom } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { connectOptions } from '../client/connect-client.js'
import type { DataHome } from '../data-home.js'
import { carryExit } from './carried-exit.js'
import { exitPolicyOf, type NodeOptions } from './node-options.js'
import type { NodePorts } from './node-summary.js'

export interface RunningNode {
  /** Ed25519, base58. */
  readonly identityKey: string
  readonly ports: NodePorts
  /** Drains. */
  stop(): Promise<void>
}

/** The most threads that are taken when nobody says how many. */
const MOST_WORKERS = 8

export interface StartDetails {
  readonly clock: Clock
  readonly logger: Logger
  /** Tells people what comes of the exit. */
  readonly say: (text: string) => void
}

/**
 * Start. The exit, if there is to be one, follows when it can. Errors: those of `Node.start`, and `MIX_OPTIONS` for options that do
 * not go together.
 */
export async function startNode(
  home: DataHome,
  options: NodeOptions,
  { clock, logger, say }: StartDetails,
): Promise<RunningNode> {
  const policy = exitPolicyOf(options)
  const crypto = await loadCryptoProvider(options.crypto)
  const random = new SystemRandom()
  const keys = loadOrCreateNodeKeys(home.file('keys.json'), crypto, random)
  const listen = (port: number) => ({ host: options.host, port })
  const metrics = new MemoryMetrics()
  const node = await Node.start({
    role: options.role,
    clock,
    random,
    logger,
    metrics,
    crypto,
    keys,
    stateDirectory: home.path,
    network: networkOf(options, { clock, crypto, logger, keys }),
    announcedIps: options.ips,
    hostname: options.hostname,
    location: options.location,
    operator: {
      moniker: options.moniker || home.id,
      website: options.website,
      security_contact: options.securityContact,
      details: options.details,
    },
    mixListen: listen(options.mixPort),
    httpListen: listen(options.httpPort),
    verlocListen: options.verloc ? listen(options.verlocPort) : undefined,
    metricsToken: options.metricsToken,
    exposeSystemInformation: options.exposeSystemInformation,
    gateway: options.role === 'gateway' ? { listen: listen(options.clientPort), ...secureDoor(options) } : undefined,
    noise: options.noise,
    replayProtection: options.replayProtection,
    workers: options.workers ?? Math.min(availableParallelism() - 1, MOST_WORKERS),
    frameVersion: options.frameVersion,
  })
  const { mixPort, httpPort, clientPort, secureClientPort } = node
  const { data } = node.description.hostInformation
  const registration = options.register
    ? new Registration({
        directories: options.directory,
        token: options.registrationToken,
        clock,
        logger,
        host: data.ip_address[0]!,
        httpPort,
        hostInformation: () => node.description.hostInformation,
      })
    : undefined
  const network = connectOptions({ ...options, profile: 'no-cover' })
  const { allowLocalIps } = options
  const exit = policy && carryExit(home, { ...network, node, metrics, policy, allowLocalIps, clock, logger, say })
  return {
    identityKey: node.identityKey,
    ports: { mixPort, httpPort, clientPort, secureClientPort },
    async stop() {
      registration?.close()
      await exit?.close()
      await node.stop({ drainMs: options.drainMs })
    },
  }
}

interface Reading {
  readonly clock: Clock
  readonly crypto: CryptoProvider
  readonly logger: Logger
  readonly keys: NodeKeys
}

/** With pinned keys the signed document alone is believed. */
function networkOf({ directory, authority, threshold }: NodeOptions, { keys, ...reading }: Reading): NetworkSource {
  const { identitySeed, identityKey } = keys
  const directories = directory
  return directoryNetwork({ ...reading, directories, authorities: authority, threshold, identitySeed, identityKey })
}

function secureDoor({ host, secureClientPort, tlsCertificate, tlsKey }: NodeOptions) {
  if (tlsCertificate === undefined && tlsKey === undefined) return undefined
  if (tlsCertificate === undefined || tlsKey === undefined) {
    const missing = tlsKey === undefined ? '--tls-key' : '--tls-certificate'
    throw new MixError('MIX_OPTIONS', `${missing}: a certificate and its key go together.`, { kind: 'usage' })
  }
  return { secure: { listen: { host, port: secureClientPort }, certificateFile: tlsCertificate, keyFile: tlsKey } }
}
