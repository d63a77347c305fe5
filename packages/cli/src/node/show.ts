/** `mixwright node show`: what there is to know of a node, without starting it; also while it runs. */
import { Command } from 'commander'
import { withHomeFlags } from '../data-home.js'
import { givenFlags } from '../server-options.js'
import { NODE_OPTIONS } from './node-options.js'
import { configuredPorts, describe, describeInspection, summarize } from './node-summary.js'

export function showCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('show').description(
    'Print identity, addresses, keys and the size of mailboxes and filters of a node, without starting it.',
  )
  return withHomeFlags(command, 'node')
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await show(flags)))
}

async function show(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenFlags('node', NODE_OPTIONS, flags)
  const options = await given.options()
  const { home, json } = given
  const { loadCryptoProvider } = await import('@mixwright/sphinx')
  const { inspectNode } = await import('@mixwright/node')
  const inspection = inspectNode(home.path, await loadCryptoProvider(options.crypto))
  const summary = summarize(home, options, inspection.identityKey, configuredPorts(options))
  const text = `${describe(summary)}${describeInspection(home, inspection)}`
  const { configFile } = home
  process.stdout.write(json ? `${JSON.stringify({ ...summary, ...inspection, configFile })}\n` : text)
  return 0
}

const HELP = `
Example:
  mixwright node show --id mix1 --json`
