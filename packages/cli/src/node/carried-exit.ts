/** The exit of a gateway node (06-service-providers §9): where it keeps its keys, and what its operator is told. */
import { type ConnectOptions, sqlStore } from '@mixwright/client'
import type { Logger } from '@mixwright/runtime'
import { ExitKeeper, type ExitKeeperOptions } from '@mixwright/services'
import type { DataHome } from '../data-home.js'
import { exitStoreFile, writeExitAddress } from './exit-facts.js'

export interface CarriedExitOptions
  extends ConnectOptions,
    Pick<ExitKeeperOptions, 'node' | 'metrics' | 'policy' | 'allowLocalIps'> {
  readonly logger: Logger
  /** To people. */
  readonly say: (text: string) => void
}

/** Start as soon as it can; returns at once. */
export function carryExit(home: DataHome, { say, ...options }: CarriedExitOptions): ExitKeeper {
  const { logger } = options
  let told: string | undefined
  return new ExitKeeper({
    ...options,
    openStore: () => sqlStore(exitStoreFile(home)),
    onServing: ({ address }) => {
      logger.info({ address }, 'the exit serves')
      say(`the exit serves: ${address}`)
      try {
        writeExitAddress(home, address)
      } catch (error) {
        logger.error({ reason: (error as Error).message }, 'the address of the exit could not be noted')
      }
    },
    // Each attempt is in the log.
    onWaiting: ({ message }) => {
      if (told !== message) say(`NO EXIT yet, this node is a plain gateway: ${message}`)
      told = message
    },
  })
}
