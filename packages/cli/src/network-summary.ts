/** A running network told to people and to programs: the text of `up`, and the JSON of `--json` and `--out`. */
import type { Network, NetworkNode } from '@mixwright/localnet'

export interface NetworkSummary {
  readonly nymApiUrl: string
  readonly nodes: readonly (NetworkNode & { readonly pid: number })[]
  readonly clients: readonly { readonly name: string; readonly address: string; readonly websocketUrl: string }[]
  readonly services: { readonly networkRequester: null; readonly echo: null }
  /** Variables that official Rust programs read. */
  readonly env: Readonly<Record<string, string>>
  /** The same as a dotenv file. */
  readonly envFile: string
}

export function summarize(network: Network): NetworkSummary {
  return {
    nymApiUrl: network.nymApiUrl,
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
  const { nymApiUrl, nodes, clients, envFile } = summarize(network)
  const width = Math.max(...nodes.map(({ name }) => name.length), ...clients.map(({ name }) => name.length))
  const firstGateway = nodes.find(({ role }) => role === 'gateway')
  const lines = [
    `mixwright: network ready in ${Math.round(readyAfterMs)} ms (${nodes.length} nodes, ${network.cryptoProvider})`,
    WARNING,
    '',
    `  ${'directory'.padEnd(width)}  ${nymApiUrl}`,
    ...nodes.map(({ name, mixAddress, clientUrl, httpUrl, identityKey }) => {
      const client = clientUrl === undefined ? '' : `  clients ${clientUrl}`
      return `  ${name.padEnd(width)}  ${identityKey}  mix ${mixAddress}  http ${httpUrl}${client}`
    }),
    ...clients.map(({ name, address, websocketUrl }) => `  ${name.padEnd(width)}  ${websocketUrl}  ${address}`),
    '',
    'A client with a websocket for apps in any language:',
    `  mixwright client init --id alice --directory ${nymApiUrl} --profile local && mixwright client run --id alice`,
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
