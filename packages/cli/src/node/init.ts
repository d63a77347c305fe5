/** `mixwright node init`: a directory with a new node's keys, and its configuration to be edited. */
import { SystemRandom } from '@mixwright/runtime'
import { Command } from 'commander'
import { configText } from '../option-table.js'
import { fromEverywhere } from '../requester/exit-options.js'
import { exitPolicyOf, givenNodeFlags, NODE_OPTIONS, withNodeFlags } from './node-options.js'
import { configuredPorts, describe, summarize } from './node-summary.js'

export function initCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('init').description(
    'Make a new node: its keys, and a configuration file with every option.',
  )
  return withNodeFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await init(flags)))
}

async function init(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenNodeFlags(flags)
  const options = fromEverywhere(given.newOptions())
  const { home, json } = given
  exitPolicyOf(options)
  home.prepare()
  const { loadCryptoProvider } = await import('@mixwright/sphinx')
  const { encodeBase58 } = await import('@mixwright/wire')
  const { loadOrCreateNodeKeys } = await import('@mixwright/node')
  const crypto = await loadCryptoProvider(options.crypto)
  // Keys that are there already, such as those of a backup, are kept.
  const keys = loadOrCreateNodeKeys(home.file('keys.json'), crypto, new SystemRandom())
  home.complete(configText(HEAD(home.id), NODE_OPTIONS, options))
  const summary = summarize(home, options, encodeBase58(keys.identityKey), configuredPorts(options))
  if (json) process.stdout.write(`${JSON.stringify({ ...summary, configFile: home.configFile })}\n`)
  else
    process.stdout.write(
      `${describe(summary)}\nSaved in ${home.path}\nStart it with: mixwright node run --id ${home.id}\n`,
    )
  return 0
}

const HEAD = (id: string) =>
  `Node ${id} of mixwright. Flags of \`mixwright node run\`, and variables MIXWRIGHT_NODE_…, go before what stands here.`

const HELP = `
Examples:
  mixwright node init --id mix1 --ips 203.0.113.7 --directory https://directory.example/api
  mixwright node init --id gate1 --role gateway --ips 203.0.113.8,2001:db8::8 --directory https://directory.example/api
  mixwright node init --id exit1 --role gateway --exit --exit-policy ./exit-policy.txt --ips 203.0.113.9 --directory https://…/api
The flags are remembered in node.toml in the node's directory, which also holds its keys: back them up.`
