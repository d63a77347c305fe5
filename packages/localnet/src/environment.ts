/**
 * The environment that official Rust programs read (03-directory §13). Every variable is set: a missing one would be
 * filled with the public network's value, and a test would then talk to the world.
 */
import { bech32 } from '@scure/base'

/** A port of this machine where nothing listens: what would be asked there fails at once, and stays here. */
const NOWHERE = 'http://127.0.0.1:1'

/** The variables of `nym-client`, `nym-socks5-client`, `nym-node` and the Rust SDK, for directories at these URLs. */
export function clientEnvironment(nymApiUrls: readonly string[], attesterKey: string): Record<string, string> {
  const nymApiUrl = nymApiUrls[0]!
  const apis = JSON.stringify(nymApiUrls.map((url) => ({ url, front_hosts: null })))
  return {
    CONFIGURED: 'true',
    NETWORK_NAME: 'mixwright',
    BECH32_PREFIX: 'n',
    MIX_DENOM: 'unym',
    MIX_DENOM_DISPLAY: 'nym',
    STAKE_DENOM: 'unyx',
    STAKE_DENOM_DISPLAY: 'nyx',
    DENOMS_EXPONENT: '6',
    MIXNET_CONTRACT_ADDRESS: chainAddress(1),
    VESTING_CONTRACT_ADDRESS: chainAddress(2),
    ECASH_CONTRACT_ADDRESS: chainAddress(3),
    GROUP_CONTRACT_ADDRESS: chainAddress(4),
    MULTISIG_CONTRACT_ADDRESS: chainAddress(5),
    COCONUT_DKG_CONTRACT_ADDRESS: chainAddress(6),
    REWARDING_VALIDATOR_ADDRESS: chainAddress(7),
    NYXD: NOWHERE,
    NYXD_WS: 'ws://127.0.0.1:1/websocket',
    NYMD_VALIDATOR: NOWHERE,
    NYM_API: nymApiUrl,
    NYM_APIS: apis,
    API_VALIDATOR: nymApiUrl,
    NYM_VPN_API: NOWHERE,
    NYM_VPN_APIS: JSON.stringify([{ url: NOWHERE, front_hosts: null }]),
    EXIT_POLICY: `${NOWHERE}/exit-policy.txt`,
    UPGRADE_MODE_ATTESTATION_URL: `${NOWHERE}/attestation.json`,
    UPGRADE_MODE_ATTESTER_ED25519_PUBKEY: attesterKey,
  }
}

/** The same as a dotenv file. */
export function dotenv(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** A syntactically valid contract address that no chain knows: 32 equal bytes. */
function chainAddress(byte: number): string {
  return bech32.encode('n', bech32.toWords(new Uint8Array(32).fill(byte)))
}
