/** `mixwright directory …`: the directory of a network, alone or as one of several authorities (03-directory §18). */
import { Command } from 'commander'
import { initCommand } from './init.js'
import { runCommand } from './run.js'
import { showCommand } from './show.js'
import { verifyCommand } from './verify.js'

export function directoryCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('directory').description(
    'The directory of a network: which nodes there are, and who may join. Official clients and nodes read it too.',
  )
  for (const make of [initCommand, runCommand, showCommand, verifyCommand])
    command.addCommand(make(finish).exitOverride())
  return command
}
