// WebCommon
