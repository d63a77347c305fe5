/** From checked options to a running network, the same way for every sub-command that needs one. */
import { Network } from '@mixwright/localnet'
import { createLogger } from '@mixwright/runtime/node'
import { DEFAULT_PORT, type UpOptions } from './options.js'

/** `fallbackPort` is taken when neither the options nor a saved network name one. */
export async function openNetwork(options: UpOptions, fallbackPort = DEFAULT_PORT): Promise<Network> {
  const logger = options.log === 'silent' ? undefined : await createLogger(options.log)
  return Network.start({
    authorities: options.authorities,
    authorityThreshold: options.threshold,
    mixes: options.mixes,
    gateways: options.gateways,
    port: options.port,
    fallbackPort,
    seed: options.seed,
    dataDirectory: options.data,
    crypto: options.crypto,
    clients: options.clients,
    clientProfile: options.clientProfile,
    services: options.services,
    socks5: options.socks5,
    epochMs: options.epoch,
    validityEpochs: options.validity,
    joining: options.node,
    logger,
  })
}
