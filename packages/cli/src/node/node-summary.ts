/** A node told to people and to programs. */
import type { NodeInspection } from '@mixwright/node'
import type { DataHome } from '../data-home.js'
import { exitAddress } from './exit-facts.js'
import type { NodeOptions } from './node-options.js'

export interface NodeSummary {
  readonly id: string
  readonly role: NodeOptions['role']
  /** Ed25519, base58. */
  readonly identityKey: string
  /** What the addresses of its clients end in; gateways only. */
  readonly clientAddressSuffix: string | null
  /** Websockets for clients, best first; gateways only. */
  readonly clientUrls: readonly string[]
  readonly mixAddresses: readonly string[]
  /** What a directory is told. */
  readonly httpUrl: string
  /** Null: it is to carry none. */
  readonly exit: {
    /** Of its requester; null before it served for the first time. */
    readonly address: string | null
    /** A file or a URL; null: an open proxy. */
    readonly exitPolicy: string | null
    readonly allowLocalIps: boolean
  } | null
}

/** Ports that are bound, or are to be. */
export interface NodePorts {
  readonly mixPort: number
  readonly httpPort: number
  readonly clientPort?: number | undefined
  readonly secureClientPort?: number | undefined
}

/** Error: `MIX_DATA_CORRUPT`. */
export function summarize(home: DataHome, options: NodeOptions, identityKey: string, ports: NodePorts): NodeSummary {
  const { role, ips, hostname, exit, exitPolicy, allowLocalIps } = options
  const [ip = ''] = ips
  const urls = [
    ...(ports.secureClientPort === undefined ? [] : [`wss://${hostname ?? atPort(ip)}:${ports.secureClientPort}`]),
    ...(ports.clientPort === undefined ? [] : [`ws://${atPort(ip)}:${ports.clientPort}`]),
  ]
  return {
    id: home.id,
    role,
    identityKey,
    clientAddressSuffix: role === 'gateway' ? `@${identityKey}` : null,
    clientUrls: role === 'gateway' ? urls : [],
    mixAddresses: ips.map((address) => `${atPort(address)}:${ports.mixPort}`),
    httpUrl: `http://${atPort(ip)}:${ports.httpPort}`,
    exit: exit ? { address: exitAddress(home), exitPolicy: exitPolicy ?? null, allowLocalIps } : null,
  }
}

/** Ports as configured. */
export function configuredPorts(options: NodeOptions): NodePorts {
  const { mixPort, httpPort, clientPort, secureClientPort, tlsCertificate } = options
  return {
    mixPort,
    httpPort,
    clientPort,
    secureClientPort: tlsCertificate === undefined ? undefined : secureClientPort,
  }
}

function atPort(ip: string): string {
  return ip.includes(':') ? `[${ip}]` : ip
}

export function describe(summary: NodeSummary): string {
  const { id, role, identityKey, clientAddressSuffix, clientUrls, mixAddresses, httpUrl, exit } = summary
  return lines([
    ['Node', `${id} (${role})`],
    ['Identity', identityKey],
    ['Mix address', mixAddresses.join('  ')],
    ['HTTP API', `${httpUrl}/api/v1`],
    ...(clientAddressSuffix === null
      ? []
      : ([
          ['For clients', clientUrls.join('  ')],
          ['Addresses', `…${clientAddressSuffix}`],
        ] as const)),
    ...(exit === null
      ? []
      : ([
          ['Exit', exit.address ?? 'its address is drawn when it serves for the first time'],
          ['Exit policy', exit.exitPolicy ?? 'none: an open proxy'],
          ['Local IPs', exit.allowLocalIps ? 'allowed' : 'refused'],
        ] as const)),
  ])
}

/** What is on the disk of a node, too. */
export function describeInspection(home: DataHome, inspection: NodeInspection): string {
  const { noiseKey, sphinxKeys, mailbox, replayBytes } = inspection
  return lines([
    ['Noise key', noiseKey],
    ...(sphinxKeys.length === 0
      ? ([['Sphinx key', 'none yet: it is drawn at the first start']] as const)
      : sphinxKeys.map(
          ({ use, rotationId, publicKey }) => ['Sphinx key', `${publicKey}  rotation ${rotationId}, ${use}`] as const,
        )),
    ...(mailbox === null
      ? []
      : ([
          ['Clients', `${mailbox.clients}`],
          ['Mailboxes', `${mailbox.messages} messages, ${mailbox.bytes} bytes`],
        ] as const)),
    ['Replay filters', `${replayBytes} bytes`],
    ['Configuration', home.configFile],
  ])
}

function lines(rows: readonly (readonly [name: string, value: string])[]): string {
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}
