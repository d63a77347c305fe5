/** A node as the directory sees it, and a directory of such nodes. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { MemoryMetrics, RealClock, SeededRandom, silentLogger } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58, type HostInformation, signHostInformation } from '@mixwright/wire'
import type { DirectoryOptions } from '../src/directory.js'

export const LOOPBACK = '127.0.0.1'

/** A node as the directory sees it: an HTTP server whose answers can be changed. */
export class FakeNode {
  readonly seed: Uint8Array
  readonly identityKey: string
  /** Replaces the answer to a path. */
  readonly overrides = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>()
  server!: Server
  port = 0

  /** What it announces. */
  ips: string[] = [LOOPBACK]
  mixPort = 1789
  noise = false
  /** Rotations of its keys. */
  primary = 0
  preAnnounced: number | undefined
  /** How often it was read. */
  readings = 0

  constructor(
    readonly crypto: CryptoProvider,
    number: number,
    readonly role: 'mixnode' | 'gateway',
  ) {
    this.seed = new Uint8Array(32)
    new DataView(this.seed.buffer).setUint32(0, number + 1)
    this.identityKey = encodeBase58(this.crypto.ed25519PublicKey(this.seed))
  }

  async listen(port = 0): Promise<this> {
    this.server = createServer((request, response) => {
      const override = this.overrides.get(request.url!)
      if (override) return override(request, response)
      const body = this.body(request.url!)
      response.writeHead(body === undefined ? 501 : 200, { 'content-type': 'application/json' })
      response.end(body === undefined ? '' : JSON.stringify(body))
    })
    this.port = await listenOn(this.server, { host: LOOPBACK, port })
    return this
  }

  /** Base58 Sphinx key of a rotation. */
  sphinxKey(rotationId: number): string {
    const secret = Uint8Array.from(this.seed)
    new DataView(secret.buffer).setUint32(28, rotationId)
    return encodeBase58(this.crypto.x25519Base(secret))
  }

  hostInformation(): HostInformation {
    const tagged = (rotation_id: number) => ({ rotation_id, public_key: this.sphinxKey(rotation_id) })
    return {
      ip_address: this.ips,
      hostname: null,
      keys: {
        ed25519_identity: this.identityKey,
        x25519_sphinx: this.sphinxKey(this.primary),
        primary_x25519_sphinx_key: tagged(this.primary),
        pre_announced_x25519_sphinx_key: this.preAnnounced === undefined ? null : tagged(this.preAnnounced),
        x25519_versioned_noise: this.noise ? { supported_version: 1, x25519_pubkey: this.sphinxKey(99) } : null,
      },
    }
  }

  /** The answer to a path; undefined for none. */
  body(url: string): unknown {
    switch (url) {
      case '/api/v1/health':
        this.readings++
        return { status: 'up', uptime: 1 }
      case '/api/v1/host-information':
        return signHostInformation(this.crypto, this.hostInformation(), this.seed)
      case '/api/v1/roles':
        return {
          mixnode_enabled: this.role === 'mixnode',
          gateway_enabled: this.role === 'gateway',
          network_requester_enabled: false,
          ip_packet_router_enabled: false,
        }
      case '/api/v1/build-information':
        return Object.fromEntries(
          [
            'binary_name',
            'build_timestamp',
            'build_version',
            'commit_sha',
            'commit_timestamp',
            'commit_branch',
            'rustc_version',
            'rustc_channel',
            'cargo_profile',
            'cargo_triple',
          ].map((name) => [name, 'x']),
        )
      case '/api/v1/gateway/client-interfaces/mixnet-websockets':
        return { ws_port: 9000, wss_port: null }
      case '/api/v1/auxiliary-details':
        return {
          location: null,
          announce_ports: { verloc_port: null, mix_port: this.mixPort },
          accepted_operator_terms_and_conditions: true,
        }
      default:
        return undefined
    }
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }
}

/** Three mix nodes and two gateways. */
export async function fiveNodes(crypto: CryptoProvider): Promise<FakeNode[]> {
  const roles = ['mixnode', 'mixnode', 'mixnode', 'gateway', 'gateway'] as const
  return Promise.all(roles.map((role, i) => new FakeNode(crypto, i + 1, role).listen()))
}

/** Options of a directory of these nodes, on the real clock unless `more` says otherwise. */
export function options(
  crypto: CryptoProvider,
  nodes: readonly FakeNode[],
  more: Partial<DirectoryOptions> = {},
): DirectoryOptions {
  const clock = more.clock ?? new RealClock()
  return {
    clock,
    random: new SeededRandom('directory'),
    logger: silentLogger,
    metrics: new MemoryMetrics(),
    crypto,
    listen: { host: LOOPBACK, port: 0 },
    nodes: nodes.map(({ port, identityKey }, i) => ({ nodeId: i + 1, host: LOOPBACK, httpPort: port, identityKey })),
    epoch: { genesisMs: clock.now(), durationMs: 3_600_000, validityEpochs: 24 },
    allowLocalAddresses: true,
    ...more,
  }
}
