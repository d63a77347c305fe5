/** `mixwright directory init`: a directory with its key and schedule, and its configuration to be edited. */
import { RealClock, SystemRandom } from '@mixwright/runtime'
import { Command } from 'commander'
import { configText } from '../option-table.js'
import { givenFlags, withServerFlags } from '../server-options.js'
import { DIRECTORY_OPTIONS, scheduleOf } from './directory-options.js'
import { describe, summarize } from './directory-summary.js'

export function initCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('init').description(
    'Make a new directory: its key, its epochs, and a configuration file with every option.',
  )
  return withServerFlags(command, 'directory', DIRECTORY_OPTIONS)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await init(flags)))
}

async function init(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const { home, json, newOptions } = givenFlags('directory', DIRECTORY_OPTIONS, flags)
  const options = newOptions()
  home.prepare()
  const { loadCryptoProvider } = await import('@mixwright/sphinx')
  const { loadOrCreateIdentity } = await import('@mixwright/directory')
  const crypto = await loadCryptoProvider(options.crypto)
  // A key that is there already, such as that of a backup, is kept.
  const nowMs = new RealClock().now()
  const identity = loadOrCreateIdentity(home.path, crypto, new SystemRandom(), nowMs, scheduleOf(options))
  const { genesisMs } = identity.schedule
  home.complete(configText(HEAD(home.id), DIRECTORY_OPTIONS, { ...options, genesisMs }))
  const summary = summarize(home.id, options, identity, options.port)
  if (json) process.stdout.write(`${JSON.stringify({ ...summary, configFile: home.configFile })}\n`)
  else
    process.stdout.write(
      `${describe(summary)}\nSaved in ${home.path}\nStart it with: mixwright directory run --id ${home.id}\n`,
    )
  return 0
}

const HEAD = (id: string) =>
  `Directory ${id} of mixwright. Flags of \`mixwright directory run\`, and variables MIXWRIGHT_DIRECTORY_…, go before what stands here.`

const HELP = `
Examples:
  mixwright directory init --id main --url https://directory.example/api --allow 7Xq…,9Yr…
  mixwright directory init --id dev --host 127.0.0.1 --registration open --allow-local-addresses --epoch-ms 60000
Several authorities: init each with the same --genesis-ms, --epoch-ms and --validity-epochs, then put the keys that they print
into \`authority\` of each directory.toml, and give the same keys to nodes and clients.`
