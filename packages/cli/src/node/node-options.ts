/** Options of a node: its `node.toml`, then the environment (`MIXWRIGHT_NODE_…`), then flags; the later wins. */
import { isIP } from 'node:net'
import { MixError } from '@mixwright/runtime'
import type { ExitPolicyChoice } from '@mixwright/services'
import type { Command } from 'commander'
import { z } from 'zod'
import { oneOf } from '../client/mixnet-options.js'
import { type OptionsOf, optionTable } from '../option-table.js'
import { base58Key, count, flag, httpUrl, list, logLevel, port } from '../options.js'
import { EXIT_OPTIONS, policyOf } from '../requester/exit-options.js'
import { type GivenFlags, givenFlags, withServerFlags } from '../server-options.js'

const text = z.string().max(1000)
const ipAddress = z.string().refine((value) => isIP(value) !== 0, 'takes IP addresses')
export const NODE_OPTIONS = optionTable({
  role: {
    schema: z.enum(['mixnode', 'gateway']).default('mixnode'),
    value: '<role>',
    about: 'mixnode (forwards) or gateway (serves clients, and is their last hop).',
  },
  ips: {
    schema: list.pipe(z.array(ipAddress).min(1).max(8)),
    value: '<ips>',
    about:
      'IP addresses under which others reach this node, several with commas; the first is the one they connect to.',
  },
  directory: {
    schema: list.pipe(z.array(httpUrl).min(1)),
    value: '<urls>',
    about: 'nym-api of the network, several with commas; when one fails, the next is asked.',
  },
  authority: {
    schema: list.pipe(z.array(base58Key)).default([]),
    value: '<keys>',
    about:
      'Identities of the authorities of the network, base58, several with commas. With them the node believes only what enough of them signed; without, whoever answers at a directory URL chooses its next hops.',
  },
  register: {
    schema: flag.default(true),
    about:
      'Ask the directories to take this node in. Not needed where a chain or the operator of the directory says who is in.',
  },
  registrationToken: {
    schema: z.string().min(1).optional(),
    value: '<text>',
    about: 'What a directory with tokens asks for.',
    example: '"…"',
  },
  threshold: {
    schema: count.min(1).max(64).optional(),
    value: '<n>',
    about: 'How many of the authorities must have signed. Without a number: more than two thirds.',
    example: '3',
  },
  hostname: {
    schema: text.min(1).optional(),
    value: '<name>',
    about: 'Name of this host, for the certificate of wss. Everybody can read it.',
    example: '"node.example"',
  },
  location: {
    schema: z
      .string()
      .regex(/^[A-Z]{2}$/, 'takes two capital letters')
      .optional(),
    value: '<cc>',
    about: 'Country of this host, two capital letters. Everybody can read it.',
    example: '"CH"',
  },
  host: {
    schema: z
      .string()
      .refine((value) => isIP(value) !== 0, 'takes an IP address')
      .default('::'),
    value: '<ip>',
    about: 'Address to listen on; :: is all, 0.0.0.0 all of IPv4.',
  },
  mixPort: { schema: port.default(1789), value: '<n>', about: 'TCP port for packets of other nodes.' },
  httpPort: { schema: port.default(8080), value: '<n>', about: 'TCP port of the HTTP API, which directories read.' },
  clientPort: {
    schema: port.default(9000),
    value: '<n>',
    about: 'Gateways: TCP port of the websocket for clients. What they say on it is encrypted, who they are not.',
  },
  secureClientPort: {
    schema: port.default(9001),
    value: '<n>',
    about: 'Gateways: TCP port of the websocket over TLS, open when there is a certificate.',
  },
  tlsCertificate: {
    schema: z.string().min(1).optional(),
    value: '<file>',
    about:
      'Gateways: PEM file of the certificate and those up to its root. Read again within a minute when it changes.',
    example: '"/etc/letsencrypt/live/node.example/fullchain.pem"',
  },
  tlsKey: {
    schema: z.string().min(1).optional(),
    value: '<file>',
    about: 'Gateways: PEM file of its private key, without a passphrase.',
    example: '"/etc/letsencrypt/live/node.example/privkey.pem"',
  },
  exit: {
    schema: flag.default(false),
    about:
      'Gateways: carry a network requester, by which clients of the mixnet reach the world from this address. Its operator is asked for what they do: needs exit-policy or open-proxy.',
  },
  ...EXIT_OPTIONS,
  noise: {
    schema: z.enum(['prefer', 'require', 'off']).default('prefer'),
    value: '<when>',
    about:
      'Encryption between nodes: prefer (with every node that announces a key), require (others are refused), or off. Off weakens privacy: who watches the wire sees packet sizes and rotations in the clear.',
  },
  replayProtection: {
    schema: flag.default(true),
    about:
      'Drop packets that passed before. Off weakens privacy: who recorded a packet can send it again and watch where it goes.',
  },
  workers: {
    schema: count.min(0).max(64).optional(),
    value: '<n>',
    about:
      'Threads for cryptography; 0 does it on the main thread. Without a number: one for each core but one, at most 8.',
    example: '1',
  },
  frameVersion: {
    schema: z.coerce
      .number()
      .pipe(z.union([z.literal(8), z.literal(7)]))
      .default(8),
    value: '<n>',
    about: 'Version of frames to other nodes, 8 or 7. 7 is for nodes of before 2025.',
  },
  drainMs: {
    schema: count.min(0).max(60_000).default(11_000),
    value: '<ms>',
    about:
      'How long a stopping node goes on sending what it holds, milliseconds; the longest delay of a packet is 10 000. What is left then is lost.',
  },
  verloc: {
    schema: flag.default(false),
    about: 'Answer other nodes that measure how far this one is. Tells everybody where on earth it is, about.',
  },
  verlocPort: { schema: port.default(1790), value: '<n>', about: 'TCP port for that.' },
  moniker: { schema: text.default(''), value: '<text>', about: 'Name of the node for people. Everybody can read it.' },
  website: { schema: text.default(''), value: '<url>', about: 'Where people read more. Everybody can read it.' },
  securityContact: {
    schema: text.default(''),
    value: '<text>',
    about: 'Whom to tell about faults. Everybody can read it.',
  },
  details: { schema: text.default(''), value: '<text>', about: 'Anything else. Everybody can read it.' },
  metricsToken: {
    schema: z.string().min(16).optional(),
    value: '<text>',
    about:
      'What /metrics/prometheus asks for as bearer token, at least 16 characters. Without it anybody may read the counters, which tell how much traffic there is.',
    example: '"…"',
  },
  exposeSystemInformation: {
    schema: flag.default(false),
    about: 'Show processor, memory and kernel to everybody at /system-info.',
  },
  crypto: {
    schema: z.enum(['sodium-native', 'libsodium-wasm', 'noble']).optional(),
    value: '<name>',
    about: 'sodium-native, libsodium-wasm or noble. Without a name: the fastest that loads.',
    example: '"sodium-native"',
  },
  log: {
    schema: logLevel.default('info'),
    value: '<level>',
    about: 'silent, error, warn, info or debug, as JSON lines on standard error. Debug tells addresses of peers.',
  },
})

export type NodeOptions = OptionsOf<typeof NODE_OPTIONS>

export function withNodeFlags(command: Command): Command {
  return withServerFlags(command, 'node', NODE_OPTIONS).option(
    '--nr-allow-local-ips [yes]',
    'the same as --allow-local-ips, as official nodes call it',
  )
}

/** Error: `MIX_OPTIONS`. */
export function givenNodeFlags({
  nrAllowLocalIps,
  ...flags
}: Readonly<Record<string, unknown>>): GivenFlags<typeof NODE_OPTIONS> {
  return givenFlags('node', NODE_OPTIONS, { ...flags, ...oneOf('allowLocalIps', flags.allowLocalIps, nrAllowLocalIps) })
}

/** Undefined where there is to be no exit. Error: `MIX_OPTIONS`. */
export function exitPolicyOf(options: NodeOptions): ExitPolicyChoice | undefined {
  if (!options.exit) return undefined
  if (options.role === 'gateway') return policyOf(options)
  throw new MixError('MIX_OPTIONS', '--exit is for gateways: say --role gateway, or leave it out.', { kind: 'usage' })
}
