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
  /** Addresses; `socks5` is the URL of the proxy. Null: it does not run. */
  readonly services: {
    readonly networkRequester: string | null
    readonly echo: string | null
    readonly socks5: string | null
  }
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
    services: {
      networkRequester: network.services?.networkRequester ?? null,
      echo: network.services?.echo ?? null,
      socks5: network.socks5Url ?? null,
    },
    env: network.environment,
    envFile: network.envFile,
  }
}

/** How to use the exit, and what it reaches. */
function throughTheExit({ networkRequester, socks5 }: NetworkSummary['services'], where: string): string[] {
  if (networkRequester === null) return []
  const begin =
    socks5 === null
      ? [
          `  mixwright socks5 init --id web --directory ${where} --profile local && mixwright socks5 run --id web`,
          '  curl --proxy socks5h://127.0.0.1:1080 https://example.org',
        ]
      : [`  curl --proxy ${socks5} https://example.org`]
  return [
    'Through the mixnet to the world; this exit connects to anything, this machine and its neighbours included:',
    ...begin,
  ]
}

const WARNING = 'This network protects nobody: its keys are for tests and everything runs on this one machine.'

/** The text printed once everything is routable. */
export function describe(network: Network, readyAfterMs: number): string {
  const { nymApiUrl, authorities, authorityThreshold, nodes, clients, services, envFile } = summarize(network)
  const directories =
    authorities.length === 0
      ? [['directory', nymApiUrl] as const]
      : authorities.map(({ key, url }, index) => [`authority${index + 1}`, `${key}  ${url}`] as const)
  const pinned = [
    authorities.length > 0 && ` --authority ${authorities.map(({ key }) => key).join(',')}`,
    authorityThreshold !== undefined && ` --threshold ${authorityThreshold}`,
  ]
  const where = `${network.access.directory.join(',')}${pinned.filter(Boolean).join('')}`
  const serving = [
    ['exit', services.networkRequester],
    ['echo', services.echo],
    ['socks5', services.socks5],
  ].filter(([, address]) => address !== null) as [string, string][]
  const listed = [...directories, ...serving].map(([name]) => name)
  const names = [...listed, ...[...nodes, ...clients].map(({ name }) => name)]
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
    ...serving.map(([name, address]) => `  ${name.padEnd(width)}  ${address}`),
    '',
    ...throughTheExit(services, where),
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
