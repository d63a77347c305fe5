/** `mixwright requester show`: what there is to know of a requester, without starting it; also while it runs. */
import { Command } from 'commander'
import { withHomeFlags } from '../data-home.js'
import { readFacts, storeFileOf } from './requester-facts.js'
import { givenRequesterFlags } from './requester-options.js'
import { describe, lines, summarize } from './requester-summary.js'

export function showCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('show').description('Print address, exit policy and files of a requester.')
  return withHomeFlags(command, 'requester')
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await show(flags)))
}

async function show(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenRequesterFlags(flags)
  const options = await given.options()
  const { home, json } = given
  const facts = readFacts(home)
  const summary = summarize(home.id, facts, options)
  const { configFile } = home
  const { registeredAt } = facts
  const files = { registeredAt, directory: options.directory, configFile, storeFile: storeFileOf(home) }
  const text = `${describe(summary)}${lines([
    ['Registered', registeredAt],
    ['Configuration', configFile],
    ['Store', files.storeFile],
  ])}`
  process.stdout.write(json ? `${JSON.stringify({ ...summary, ...files })}\n` : text)
  return 0
}

const HELP = `
Example:
  mixwright requester show --id exit1 --json`
