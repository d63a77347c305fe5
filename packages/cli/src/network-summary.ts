/** A running network told to people and to programs: the text of `up`, and the JSON of `--json` and `--out`. */
import type { Network, NetworkNode } from '@mixwright/localnet'

export interface NetworkSummary {
  readonly nymApiUrl: string
  /** Of several authorities; empty where one directory decides. */
  readonly authorities: readonly { readonly key: string; readonly url: string }[]
  /** Signatures needed. @default more than two thirds of the authorities */
  readonly authorityThreshold?: number
  readonly nodes: readonly (NetworkNode & { readonly pid: number })[]
  readonly clients: readonly { readonly name: string; readonly address: string; readonly websocketUrl: string }[]
  readonly services: { readonly networkRequester: null; readonly echo: null }
  /** Variables that official Rust programs read. */
  readonly env: Readonly<Record<string, string>>
  /** The same as a dotenv file. */
  readonly envFile: string
}

export function summarize(network: Network): NetworkSummary {
  const { directory, authorities: keys = [], authorityThreshold } = network.access
  return {
    nymApiUrl: network.nymApiUrl,
    authorities: keys.map((key, index) => ({ key, url: directory[index]! })),
    ...(authorityThreshold !== undefined && { authorityThreshold }),
    nodes: network.nodes.map((node) => ({ ...node, pid: process.pid })),
    clients: network.clients.map(({ name, address, websocketUrl }) => ({ name, address, websocketUrl })),
    services: { networkRequester: null, echo: null },
    env: network.environment,
    envFile: network.envFile,
  }
}

const WARNING = 'This network protects nobody: its keys are for tests and everything runs on this one machine.'

/** The text printed once everything is routable. */
export function describe(network: Network, readyAfterMs: number): string {
  const { nymApiUrl, authorities, authorityThreshold, nodes, clients, envFile } = summarize(network)
  const directories =
    authorities.length === 0
      ? [['directory', nymApiUrl] as const]
      : authorities.map(({ key, url }, index) => [`authority${index + 1}`, `${key}  ${url}`] as const)
  const pinned = [
    authorities.length > 0 && ` --authority ${authorities.map(({ key }) => key).join(',')}`,
    authorityThreshold !== undefined && ` --threshold ${authorityThreshold}`,
  ]
  const where = `${network.access.directory.join(',')}${pinned.filter(Boolean).join('')}`
  const names = [...directories.map(([name]) => name), ...[...nodes, ...clients].map(({ name }) => name)]
  const width = Math.max(...names.map(({ length }) => length))
  const firstGateway = nodes.find(({ role }) => role === 'gateway')
  const lines = [
    `mixwright: network ready in ${Math.round(readyAfterMs)} ms (${nodes.length} nodes, ${network.cryptoProvider})`,
    WARNING,
    '',
    ...directories.map(([name, address]) => `  ${name.padEnd(width)}  ${address}`),
    ...nodes.map(({ name, mixAddress, clientUrl, httpUrl, identityKey }) => {
      const client = clientUrl === undefined ? '' : `  clients ${clientUrl}`
      return `  ${name.padEnd(width)}  ${identityKey}  mix ${mixAddress}  http ${httpUrl}${client}`
    }),
    ...clients.map(({ name, address, websocketUrl }) => `  ${name.padEnd(width)}  ${websocketUrl}  ${address}`),
    '',
    'A client with a websocket for apps in any language:',
    `  mixwright client init --id alice --directory ${where} --profile local && mixwright client run --id alice`,
    'Official npm client (browser or Node.js):',
    `  await new NymClient(onMessage, { nymApiUrl: '${nymApiUrl}', preferredGateway: '${firstGateway?.identityKey}', clientId: 'alice' })`,
    'Official Rust clients:',
    `  nym-client -c ${envFile} init --id alice && nym-client -c ${envFile} run --id alice`,
    `  set -a; . ${envFile}; set +a    # then anything built on nym-sdk`,
    '',
    WARNING,
    'Stop with Ctrl-C.',
  ]
  return `${lines.join('\n')}\n`
}
