/** `mixwright directory show`: what there is to know of a directory, without starting it; also while it runs. */
import { RealClock, SystemRandom } from '@mixwright/runtime'
import { Command } from 'commander'
import { withHomeFlags } from '../data-home.js'
import { givenFlags } from '../server-options.js'
import { DIRECTORY_OPTIONS, scheduleOf } from './directory-options.js'
import { describe, lines, summarize } from './directory-summary.js'

export function showCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('show').description(
    'Print key, URL, epochs and known nodes of a directory, without starting it.',
  )
  return withHomeFlags(command, 'directory')
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await show(flags)))
}

async function show(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenFlags('directory', DIRECTORY_OPTIONS, flags)
  const options = await given.options()
  const { home, json } = given
  const { loadCryptoProvider } = await import('@mixwright/sphinx')
  const { inspectDirectory, loadOrCreateIdentity } = await import('@mixwright/directory')
  const crypto = await loadCryptoProvider(options.crypto)
  const nowMs = new RealClock().now()
  const identity = loadOrCreateIdentity(home.path, crypto, new SystemRandom(), nowMs, scheduleOf(options))
  const state = inspectDirectory(home.path)
  const summary = summarize(home.id, options, identity, options.port)
  const text = `${describe(summary)}${lines([
    ['Nodes known', `${state.knownNodes}`],
    ['Registered', `${state.registeredNodes} of them by themselves`],
    ['Configuration', home.configFile],
  ])}`
  const { configFile } = home
  process.stdout.write(json ? `${JSON.stringify({ ...summary, ...state, configFile })}\n` : text)
  return 0
}

const HELP = `
Example:
  mixwright directory show --id main --json`
