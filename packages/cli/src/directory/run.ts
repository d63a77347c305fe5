/** `mixwright directory run`: a directory until SIGTERM or Ctrl-C. */
import { RealClock } from '@mixwright/runtime'
import { createLogger } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { givenFlags, withServerFlags } from '../server-options.js'
import { StopSignals } from '../stop-signals.js'
import { DIRECTORY_OPTIONS, type DirectoryOptions } from './directory-options.js'
import { describe, summarize } from './directory-summary.js'

export function runCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('run').description('Run a directory.')
  return withServerFlags(command, 'directory', DIRECTORY_OPTIONS)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await run(flags)))
}

async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenFlags('directory', DIRECTORY_OPTIONS, flags)
  const options = await given.options()
  const { home, json } = given
  warn(options)
  using signals = new StopSignals()
  const unlock = await home.lock()
  try {
    const { startDirectory } = await import('./start-directory.js')
    const directory = await startDirectory(home, options, new RealClock(), await createLogger(options.log))
    try {
      const summary = summarize(home.id, options, directory, directory.port)
      process.stdout.write(json ? `${JSON.stringify(summary)}\n` : `${describe(summary)}Ready. Stop with Ctrl-C.\n`)
      await signals.first
    } finally {
      await directory.close()
    }
  } finally {
    await unlock()
  }
  return 0
}

/** What weakens privacy says so at start-up. */
function warn({ registration, authority, allowLocalAddresses }: DirectoryOptions): void {
  const say = (text: string) => process.stderr.write(`mixwright: ${text}\n`)
  if (registration === 'open') say('--registration open: one person with many addresses can become all hops of a way.')
  if (authority.length === 0) say('no --authority: nobody can check what this directory says, it chooses all hops.')
  if (allowLocalAddresses) say('--allow-local-addresses: nodes that nobody else can reach are listed too.')
}

const HELP = `
Every option is also read from directory.toml in the directory's own directory, and from MIXWRIGHT_DIRECTORY_….
Examples:
  mixwright directory run --id main
  mixwright directory run --id main --nodes http://203.0.113.7:8080 --log debug`
