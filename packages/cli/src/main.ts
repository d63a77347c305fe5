/** The `mixwright` command: parses the line, loads the one sub-command asked for, and turns errors into one clear line. */
import { MixError } from '@mixwright/runtime'
import { Command, CommanderError } from 'commander'
import { clientCommand } from './client/client.js'
import { directoryCommand } from './directory/directory.js'
import { execCommand } from './exec.js'
import { nodeCommand } from './node/node.js'
import { requesterCommand } from './requester/requester.js'
import { socks5Command } from './socks5/socks5.js'
import { upCommand } from './up.js'
import { VERSION } from './version.js'

/** Exit codes: 0 done, 1 it failed, 2 the command line was wrong. */
const FAILURE = 1
const USAGE = 2

/** Run the command line; resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  // A reader that has seen enough, as in `up --json | head -1`, is no reason to end a network.
  process.stdout.on('error', () => {})
  const program = new Command('mixwright')
    .description('A complete mixnet that speaks Nym, on your laptop.')
    .version(VERSION)
    .exitOverride()
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for the options)')
  let exitCode = 0
  const finish = (code: number) => {
    exitCode = code
  }
  program.addCommand(upCommand(finish).exitOverride())
  program.addCommand(execCommand(finish).exitOverride())
  program.addCommand(clientCommand(finish).exitOverride())
  program.addCommand(socks5Command(finish).exitOverride())
  program.addCommand(requesterCommand(finish).exitOverride())
  program.addCommand(nodeCommand(finish).exitOverride())
  program.addCommand(directoryCommand(finish).exitOverride())
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    return report(error)
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  if (error instanceof MixError) {
    process.stderr.write(`mixwright: ${error.message} (${error.code})\n`)
    return error.kind === 'usage' ? USAGE : FAILURE
  }
  process.stderr.write(
    `mixwright: unexpected error, please report it\n${error instanceof Error ? error.stack : error}\n`,
  )
  return FAILURE
}
