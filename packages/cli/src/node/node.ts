/** `mixwright node …`: one node of a network, for months (05-mixnode §15). */
import { Command } from 'commander'
import { initCommand } from './init.js'
import { rotateKeysCommand } from './rotate-keys.js'
import { runCommand } from './run.js'
import { showCommand } from './show.js'

export function nodeCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('node').description(
    'A mix node or gateway that works among others, official ones included.',
  )
  for (const make of [initCommand, runCommand, showCommand, rotateKeysCommand])
    command.addCommand(make(finish).exitOverride())
  return command
}
