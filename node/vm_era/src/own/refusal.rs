//! What the reference node tells users whose calls and transactions fail.

use lockstep_vm::SimulationEnd;
use zksync_multivm::interface::{Halt, VmRevertReason};

pub(super) fn reverted(reason: &VmRevertReason) -> SimulationEnd {
    let words = reason.to_user_friendly_string();
    SimulationEnd::Reverted {
        reason: (!words.is_empty()).then_some(words),
        data: reason.encoded_data().into(),
    }
}

/// A system contract that should not fail did.
pub(super) fn broken(data: &[u8]) -> SimulationEnd {
    let halt = Halt::UnexpectedVMBehavior(VmRevertReason::from(data).to_string());
    SimulationEnd::Refused { message: refusal(&halt) }
}

/// What the reference node tells a user whose transaction no block could include.
pub(super) fn refusal(halt: &Halt) -> String {
    let unexpected = |problem: &str| {
        format!(
            "virtual machine entered unexpected state. please contact developers and provide \
             transaction details that caused this error. Error description: {problem}"
        )
    };
    match halt {
        Halt::ValidationFailed(reason) => {
            format!("failed to validate the transaction. reason: {reason}")
        }
        Halt::PayForTxFailed(reason) | Halt::FailedToChargeFee(reason) => {
            format!("not enough balance to cover the fee. error message: {reason}")
        }
        Halt::PaymasterValidationFailed(reason) => {
            format!("failed paymaster validation. error message: {reason}")
        }
        Halt::PrePaymasterPreparationFailed(reason) => {
            format!("failed pre-paymaster preparation. error message: {reason}")
        }
        Halt::FromIsNotAnAccount => {
            "invalid sender. can't start a transaction from a non-account".to_owned()
        }
        Halt::Unknown(reason) => {
            format!("failed to include transaction in the system. reason: {reason}")
        }
        Halt::UnexpectedVMBehavior(problem) => unexpected(problem),
        Halt::BootloaderOutOfGas => unexpected("bootloader is out of gas"),
        Halt::NotEnoughGasProvided => {
            unexpected("The bootloader did not contain enough gas to execute the transaction")
        }
        Halt::VMPanic => unexpected("VM panicked"),
        Halt::ValidationOutOfGas => {
            "failed to validate the transaction. reason: Validation run out of gas".to_owned()
        }
        Halt::InnerTxError | Halt::MissingInvocationLimitReached => {
            "execution reverted: Bootloader-based tx failed".to_owned()
        }
        Halt::FailedBlockTimestampAssertion => {
            "transaction failed block.timestamp assertion".to_owned()
        }
        Halt::TracerCustom(reason)
        | Halt::FailedToSetL2Block(reason)
        | Halt::FailedToAppendTransactionToL2Block(reason) => {
            format!("execution reverted: {reason}")
        }
        Halt::FailedToMarkFactoryDependencies(reason) => format!("execution reverted: {reason}"),
        Halt::TooBigGasLimit | Halt::FailedToPublishCompressedBytecodes => {
            format!("execution reverted: {halt}")
        }
    }
}
