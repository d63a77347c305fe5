/** `mixwright client …`: the client with a local websocket, for apps in any language. */
import { Command } from 'commander'
import { initCommand } from './init.js'
import { runCommand } from './run.js'
import { showCommand } from './show.js'

export function clientCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('client').description(
    'A mixnet client with a local websocket for apps in any language, as nym-client has it.',
  )
  for (const make of [initCommand, runCommand, showCommand]) command.addCommand(make(finish).exitOverride())
  return command
}
